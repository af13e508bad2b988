"""What stands over each table of a report: what it says, and what to know when reading it."""

# ruff: noqa: RUF001 - minus signs are meant
CAPTIONS: dict[str, str] = {
    "contrasts": (
        "Paired differences in points of IoU (0.01), first minus second. A verdict needs both the interval and the "
        "adjusted p; “undecided” says that the study was too small to tell, not that there is no difference, and "
        "one seed is always too few. Differences below {margin} points count as none when arms are called "
        "equivalent. False claim is the probability that the arm that looks better is not; runs won, how often a "
        "run of the first arm beats one of the second in the same cell; detectable, the smallest true difference "
        "that a study of this size finds with probability 0.8."
    ),
    "arms": (
        "Every arm by itself. Threshold Jaccard is the score of the ISIC 2018 challenge: an image below {failure} "
        "counts as 0. Failures are the images below that. Encoder used is the share of the pretrained parameters that "
        "the decoder makes use of: where it is small, starting weights can hardly matter. A learning rate that folds "
        "do not share is not shown; the searches have it."
    ),
    "more": (
        "More measures of every arm. IQM is the mean of the middle half of the runs, which a failed one does not move. "
        "HD95 is a median over images."
    ),
    "arm_ranks": (
        "Ranks of the arms over the cells, 1 the best. Cells of one study share their images and seeds: this is a "
        "description and no claim."
    ),
    "factors": (
        "Which factor moves IoU how much, in points: between its best and its worst level, the spread of its "
        "levels less what chance adds, and its share of the variance of the cells' means. Interactions are what "
        "single factors do not explain."
    ),
    "levels": (
        "The effect of each level, in points about the mean of its factor, all else equal, with 95 % intervals "
        "over lesions and seeds."
    ),
    "padding": (
        "What padding does. A mirrored lesion is a draw in which part of the lesion lies where nothing was "
        "photographed."
    ),
    "subgroups": (
        "The primary contrast by subgroup, in points of IoU. Subgroups are exploratory: there are many, no p is "
        "corrected for that, and none has a verdict. Skin tone is the typology angle of uncalibrated photographs, "
        "and says little of a person."
    ),
    "subgroup_arms": "Every arm by subgroup.",
    "probes": (
        "What the frozen features hold before any fine-tuning: balanced accuracy of nearest neighbours and of a "
        "linear classifier, IoU of a small dense head. Published comparisons found that ranks by accuracy say "
        "little of ranks in segmentation, so read the dense probe first."
    ),
    "probe_ranks": (
        "Does a probe foretell segmentation? Spearman's rank correlation of each probe with the mean IoU after "
        "fine-tuning, over the encoders of this study. With fewer than ten encoders chance alone gives any value "
        "between −1 and 1; with two there is no rank to speak of."
    ),
    "costs": ("What the study took. Times are of the runs by themselves, added up; runs side by side took less."),
    "lineage": "Where every encoder comes from, as its file says.",
    "data_card": "The images of this study.",
    "leaks": (
        "What the leak firewall found between images that were trained on and images that were held out, in images "
        "and pairs, and what was done."
    ),
    "fairness": "Whether arms differ in nothing but what is compared, read from the runs and not from the plan.",
    "search": (
        "The learning rate of each arm, searched with the same grid and as many trials, on an inner split of the "
        "training images. A best rate at the edge of the grid may have a better one beyond it."
    ),
    "deviations": "Everything in which the study departs from what was declared.",
    "failed": "Runs that failed, with the last line of their error.",
    "runs": "Every run of the study.",
}
