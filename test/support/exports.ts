// Exported functions and classes that compute no tensor, each for its reason: the tables that must have every export leave them out.

export const WITHOUT_TENSOR: Readonly<Record<string, readonly string[]>> = {
  'gives no tensor': [
    'devices',
    'getNumThreads',
    'hasCuda',
    'info',
    'manualSeed',
    'setAllowTF32',
    'setAutotune',
    'setDeterministic',
    'setNumThreads',
    'summary',
  ],
  'runs what others compute': ['CompiledLayer'],
  'is a base class': ['Module', 'Optimizer', 'Schedule', 'Tensor'],
  'changes a learning rate': ['StepLR', 'CosineAnnealingLR'],
  'is an error': ['BackendError', 'DTypeError', 'DeviceError', 'DisposedError', 'ShapeError'],
};
