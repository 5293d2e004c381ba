// The data of the map, as the network's map.js hands it over: arrays are base64 of little-endian numbers.

import { readLayout } from "./layout.js";

/** Stands for no class, and for no thumbnail. */
export const NONE = 65535;
const FINEST = 32767; // a similarity of 1

/** The pictures on the map, filled by readPictures. */
export const pictures = {};

export function readPictures(given) {
  const count = given.count;
  const order = mixedOrder(count);
  Object.assign(pictures, {
    model: given.model,
    count,
    order,
    classOf: uint16(given.class),
    classes: given.classes.map(([label, colour, group]) => ({ label, colour, group })),
    noClassColour: given.none,
    numbers: new Uint32Array(bytes(given.number).buffer), // of the pictures in the atlas
    files: given.files,
    axes: given.axes,
    neighbourCount: given.neighbours, // 0 where the atlas lists none
    ...(given.neighbours ? readNeighbours(given) : {}),
    thumbOf: given.thumb ? uint16(given.thumb) : null,
    sheet: given.sheet,
    isWhole: given.whole ? bytes(given.whole) : null, // whether the site holds the whole picture
    topOf: given.nine, // {layer, of: by picture the channels that have it among their top-9}
    layouts: new Map(Object.entries(given.places).map(([name, text]) => [name, readLayout(uint16(text), count)])),
  });
}

export function labelOf(picture) {
  const number = pictures.classOf[picture];
  return number === NONE ? "no label" : pictures.classes[number].label;
}

export function colourOf(picture) {
  const number = pictures.classOf[picture];
  return number === NONE ? pictures.noClassColour : pictures.classes[number].colour;
}

/** The nearest pictures by the cosine of their features: {neighbour, similarity}, the nearest first. */
export function neighboursOf(picture) {
  const { neighbourCount, neighbours, similarities } = pictures;
  return Array.from({ length: neighbourCount }, (_, rank) => {
    const place = picture * neighbourCount + rank;
    return { neighbour: neighbours[place], similarity: similarities[place] / FINEST };
  });
}

// neighbours, similarities: picture by picture; listed: in how many other pictures' lists each is.
function readNeighbours(given) {
  return {
    neighbours: given.wide === 2 ? uint16(given.neighbour) : new Uint32Array(bytes(given.neighbour).buffer),
    similarities: new Int16Array(bytes(given.similarity).buffer),
    listed: new Uint32Array(bytes(given.listed).buffer),
  };
}

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function uint16(text) {
  return new Uint16Array(bytes(text).buffer);
}

// An order in which pictures from all over the folder follow one another, so that no class lies on top of all others.
function mixedOrder(count) {
  const keys = Float64Array.from({ length: count }, (_, picture) => (picture * 0.6180339887498949) % 1);
  return Uint32Array.from({ length: count }, (_, picture) => picture).sort((a, b) => keys[a] - keys[b]);
}
