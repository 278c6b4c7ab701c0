// The specification in plain double loops over row-major float64 values: the judge of every fast path. Imports nothing of ts/.

export * from './reference/conv';
export * from './reference/geometry';
export * from './reference/mask';
export * from './reference/masked';
export * from './reference/norm';
export * from './reference/pad';
export * from './reference/partial';
export * from './reference/resize';
export * from './reference/values';
