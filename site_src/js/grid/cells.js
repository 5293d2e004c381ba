// The cells of a layer's grid.

/** The number of a cell's channel. */
export function channelOf(cell) {
  return parseInt(cell.textContent);
}

/** Whether no picture activates the cell's channel: it stands in a list of such. */
export function isDead(cell) {
  return cell.parentElement.classList.contains("dead");
}

/** Whether a cell's channel has tiles, and so a thumbnail; one without shows the field of its strongest picture. */
export function hasThumbnail(cell) {
  return cell.firstElementChild.classList.length > 0;
}
