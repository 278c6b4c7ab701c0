// mocha's spec reporter, with the count as the last line: "N passed, N failed, N skipped" (also written to PARTIALCONV_TEST_COUNT).
const { writeFileSync } = require('node:fs');
const { reporters } = require('mocha');

class CountReporter extends reporters.Spec {
  epilogue() {
    super.epilogue();
    const { passes, failures, pending } = this.stats;
    const count = `${passes} passed, ${failures} failed, ${pending} skipped`;
    console.log(count);
    if (process.env.PARTIALCONV_TEST_COUNT) writeFileSync(process.env.PARTIALCONV_TEST_COUNT, `${count}\n`);
  }
}

module.exports = CountReporter;
