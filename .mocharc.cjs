// Tests run on the TypeScript sources, through tsx. The time limit only ends a test that hangs.
module.exports = {
  require: ['tsx', './test/support/poison.ts'],
  reporter: './scripts/mocha_reporter.cjs',
  timeout: 120_000,
};
