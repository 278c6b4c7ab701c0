// Memory that an op's result is given holds no zeros in the tests, but NaN in every float: what an op does not write is seen.
const { allocUnsafeSlow } = Buffer;
Buffer.allocUnsafeSlow = (size) => allocUnsafeSlow(size).fill(0xff);
