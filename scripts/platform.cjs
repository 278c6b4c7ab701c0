// The folder name of a prebuilt addon: platform-arch-libc, e.g. linux-x64-glibc.
function platformTag() {
  const libc = process.platform === 'linux' ? (process.report.getReport().header.glibcVersionRuntime ? '-glibc' : '-musl') : '';
  return `${process.platform}-${process.arch}${libc}`;
}

module.exports = { platformTag };
