import { init as initCore } from "@cornerstonejs/core";
import { init as initLoader } from "@cornerstonejs/dicom-image-loader";
initCore(); initLoader({ maxWebWorkers: 2 });
