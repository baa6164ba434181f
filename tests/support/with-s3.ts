// Setup of the jest project of the packages: gives the suites of the server, which cannot reach this folder, a real S3 store.
import { lacksS3, realS3 } from './real-s3.ts';

Object.assign(globalThis, { safeTestS3: { lacks: lacksS3, make: realS3 } });
