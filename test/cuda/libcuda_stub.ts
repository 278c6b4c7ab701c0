// A libcuda.so.1 without a GPU behind it, generated from the names in cuda.h: cuDNN's planner wants one to load.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ANSWERED = `
int cuInit(unsigned flags) { (void)flags; return 0; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuDeviceGetCount(int *count) { *count = 0; return 0; }
static int find(const char *name, void **function) {
  void *self = dlopen("libcuda.so.1", RTLD_NOLOAD | RTLD_NOW);
  *function = self ? dlsym(self, name) : 0;
  return *function ? 0 : 500;
}
int cuGetProcAddress(const char *name, void **function, int version, unsigned long long flags) {
  (void)version; (void)flags;
  return find(name, function);
}
int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long long flags, int *status) {
  (void)version; (void)flags;
  int result = find(name, function);
  if (status) *status = result ? 1 : 0;
  return result;
}
`;
const NO_DEVICE = 100;

/** The C source of the stub: every function that cuda.h names fails, but for those that tell that there is no device. */
export function stubSource(cudaHeader: string): string {
  const names = new Set(cudaHeader.match(/\bcu[A-Z]\w*(?=\s*\()/g) ?? []);
  for (const [, name = ''] of cudaHeader.matchAll(/^#define\s+cu[A-Z]\w*\s+(?:__CUDA_API_PTSZ\(|__CUDA_API_PTDS\()?(cu[A-Z]\w*)/gm))
    names.add(name);
  const answered = new Set(ANSWERED.match(/\bcu[A-Z]\w*(?=\()/g));
  const others = [...names].filter((name) => !answered.has(name)).sort();
  return `#define _GNU_SOURCE\n#include <dlfcn.h>\n${ANSWERED}${others.map((name) => `int ${name}(void) { return ${NO_DEVICE}; }\n`).join('')}`;
}

/** Builds folder/libcuda.so.1; returns the folder, or null where there is no cuda.h. */
export function buildStub(cudaInclude: string, folder: string): string | null {
  const header = join(cudaInclude, 'cuda.h');
  if (!existsSync(header)) return null;
  mkdirSync(folder, { recursive: true });
  const source = join(folder, 'libcuda_stub.c');
  const text = stubSource(readFileSync(header, 'utf8'));
  const library = join(folder, 'libcuda.so.1');
  if (existsSync(library) && existsSync(source) && readFileSync(source, 'utf8') === text) return folder;
  writeFileSync(source, text);
  execFileSync('cc', ['-shared', '-fPIC', '-O1', '-Wl,-soname,libcuda.so.1', '-o', library, source, '-ldl']);
  return folder;
}
