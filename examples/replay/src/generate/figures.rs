//! The figures that the generator draws from.

/// A choice and how often it is taken, relative to the other choices.
pub(crate) type Weighted<T> = (u64, T);

/// Nodes of one size.
pub(super) struct Shape {
    pub(super) count: usize,
    pub(super) model: &'static str,
    pub(super) gpus: u32,
    pub(super) cores: u32,
    pub(super) memory_gib: u32,
}

const fn shape(count: usize, model: &'static str, gpus: u32, cores: u32, memory_gib: u32) -> Shape {
    Shape { count, model, gpus, cores, memory_gib }
}

/// The published cluster, with the rarest sizes counted as their nearest neighbour.
pub(super) const SHAPES: &[Shape] = &[
    shape(549, "G2", 8, 96, 384),
    shape(39, "G3", 8, 128, 768),
    shape(21, "V100M32", 8, 96, 768),
    shape(9, "V100M32", 4, 48, 368),
    shape(8, "V100M16", 8, 64, 256),
    shape(28, "V100M16", 4, 32, 128),
    shape(19, "V100M16", 1, 8, 32),
    shape(17, "T4", 4, 96, 384),
    shape(387, "T4", 2, 104, 512),
    shape(109, "P100", 2, 16, 120),
    shape(22, "P100", 2, 64, 256),
    shape(3, "P100", 1, 8, 60),
    shape(2, "A10", 1, 128, 1024),
    shape(104, "", 0, 104, 512),
    shape(34, "", 0, 64, 512),
    shape(172, "", 0, 32, 256),
];

/// Cores in milli and memory in MiB.
type Sizes = &'static [Weighted<(u32, u32)>];

/// Pods that ask for the same number of GPUs.
pub(super) struct Kind {
    pub(super) num_gpu: u32,
    pub(super) shared: bool,
    pub(super) sizes: Sizes,
}

pub(super) const CPU_ONLY: Kind = Kind {
    num_gpu: 0,
    shared: false,
    sizes: &[
        (34, (12_500, 57_344)),
        (27, (32_000, 49_152)),
        (17, (8_000, 30_720)),
        (12, (15_500, 51_200)),
        (10, (16_500, 51_200)),
    ],
};

const SHARE: Kind = Kind {
    num_gpu: 1,
    shared: true,
    sizes: &[
        (38, (3_000, 5_600)),
        (21, (8_000, 30_720)),
        (20, (12_000, 47_104)),
        (16, (4_000, 16_384)),
        (5, (6_000, 12_288)),
    ],
};

const ONE: Kind = Kind {
    num_gpu: 1,
    shared: false,
    sizes: &[
        (43, (11_500, 49_152)),
        (13, (12_000, 24_576)),
        (11, (3_000, 5_600)),
        (8, (8_000, 24_576)),
        (7, (18_500, 64_512)),
        (6, (16_000, 61_440)),
        (5, (4_000, 24_576)),
        (5, (10_000, 41_984)),
        (2, (24_000, 92_160)),
    ],
};

const TWO: Kind = Kind {
    num_gpu: 2,
    shared: false,
    sizes: &[(60, (16_000, 65_536)), (20, (6_000, 30_720)), (20, (30_000, 122_880))],
};

const FOUR: Kind =
    Kind { num_gpu: 4, shared: false, sizes: &[(75, (32_000, 131_072)), (25, (60_000, 262_144))] };

const EIGHT: Kind = Kind {
    num_gpu: 8,
    shared: false,
    sizes: &[(50, (64_000, 262_144)), (40, (88_000, 368_640)), (10, (120_000, 491_520))],
};

/// Weights in tenths of a per cent.
pub(super) const KINDS: &[Weighted<Kind>] =
    &[(124, CPU_ONLY), (352, SHARE), (447, ONE), (18, TWO), (18, FOUR), (41, EIGHT)];

/// The milli of a GPU that a sharing pod asks for.
pub(super) const SHARES: &[Weighted<u32>] = &[
    (35, 810),
    (24, 470),
    (11, 320),
    (8, 650),
    (5, 230),
    (4, 460),
    (3, 590),
    (3, 160),
    (2, 550),
    (2, 220),
    (2, 370),
    (1, 110),
];

/// What pods that name their models name.
pub(super) const MODELS: &[Weighted<&[&str]>] =
    &[(50, &["T4"]), (20, &["G2"]), (15, &["P100"]), (13, &["V100M16", "V100M32"]), (2, &["G3"])];

pub(super) const QOS: &[Weighted<&str>] = &[(57, "LS"), (42, "BE"), (1, "Burstable")];

/// Lifetimes: up to this many pods of a million live less than this many seconds.
pub(super) const LIFETIMES: &[(u64, u64)] = &[
    (100_000, 80),
    (250_000, 167),
    (500_000, 540),
    (750_000, 1_974),
    (900_000, 6_574),
    (950_000, 16_425),
    (980_000, 40_752),
    (990_000, 99_719),
    (995_000, 742_962),
    (1_000_000, 7_470_000),
];
