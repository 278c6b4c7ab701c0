// The ES module entry: the CommonJS build under the same names, so that classes and addon exist once.
export * from './index.js';
