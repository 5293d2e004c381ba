// What every page of the site runs. Each part looks for its own place in the page and does nothing where there is none.

import { startCitation } from "./citation.js";
import { startFinder } from "./finder/box.js";
import { startGrid } from "./grid/grid.js";
import { startKernelOrder } from "./kernel-order.js";
import { startKeys } from "./keys.js";
import { startListButton } from "./list/button.js";
import { startListPage } from "./list/page.js";
import { startRandom } from "./random.js";
import { startSpeculation } from "./speculation.js";
import { startThemeButton } from "./theme-button.js";
import { startInputs } from "./tiles/inputs.js";
import { startInspection } from "./tiles/inspection.js";
import { startRange } from "./tiles/range.js";
import { startRows } from "./tiles/rows.js";
import { startTables } from "./tiles/tables.js";
import { startYours } from "./yours.js";

startFinder();
startThemeButton();
startKeys();
startRandom();
startListButton();
startListPage();
startSpeculation();
startInputs();
startTables();
startRows();
startRange();
startInspection();
startGrid();
startKernelOrder();
startCitation();
startYours();
