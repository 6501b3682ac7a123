/** Paceline: a local LLM engine. Everything that other programs import is named here. */
/// <reference lib="esnext.disposable" preserve="true" />
export { type ErrorCode, PacelineError } from './base/errors.js';
export { type DeviceReport, listDevices } from './engine/devices.js';
export { loadModel } from './engine/load.js';
export { Model } from './engine/model.js';
export { type Prompt, Session } from './engine/session.js';
export type * from './engine/types.js';
export { rawJson } from './template/raw-json.js';
export { Tokenizer } from './tokenizer/tokenizer.js';
