"""What stands over each table of a report and under each figure: what it says, and what to know when reading it."""

# ruff: noqa: RUF001 - minus signs are meant
from compare.tables.arms import FAILURE

FOREST = (
    "Contrasts with their 95 % intervals, in points of IoU. {pooled}The grey band is the margin of ±{margin} points "
    "within which arms count as equivalent.{drawn}"
)
RUNS = (
    "Mean IoU of every run by the levels of what varies, all else mixed in: a box where there are five runs or more, "
    "else points and their mean. Runs differ in more than one thing, so boxes overlap where paired contrasts do not."
)
EFFICIENCY = (
    "Label efficiency: mean IoU ({sizes}) with 95 % intervals over lesions and seeds. The intervals are those of each "
    "arm by itself; arms share their images, so overlapping bands do not make a difference uncertain: contrasts have "
    "paired intervals."
)
HEAT_MAP = (
    "Mean IoU of every arm under every setting, the stronger the colour the better, and the share of the pretrained "
    "parameters that the decoder uses."
)
LR = "Mean IoU over learning rate ({sizes}), with 95 % intervals of each arm by itself."
IMAGE_SIZE = (
    "Mean IoU over image size ({sizes}), with 95 % intervals of each arm by itself. Scores are at the native size of "
    "the images whatever the size of training."
)
IMAGES = (
    "IoU of each image ({sizes}) by setting and arm. Boxes span the quartiles with the median as a line, whiskers "
    "reach the last image within 1.5 box lengths, small dots are single images; a large point per seed is its mean."
)
FAILURES = (
    f"Failures: the share of images ({{sizes}}) with an IoU below {FAILURE}, which the ISIC 2018 challenge counts as "
    "0. A point is a seed, the bar their mean. Points show how trainings differ; they are no interval over lesions."
)
RANKS = (
    "Critical-difference diagram (Demšar 2006): mean ranks over the {cells} that every arm was scored in. A thick bar "
    "joins arms that Nemenyi's test at 5 % cannot tell apart, since their mean ranks differ by less than the ruler is "
    "long.{too_few} Cells of one study share their images and seeds: this is a description and no claim."
)
TOO_FEW_CELLS = " The ruler is longer than the scale: so few cells cannot tell any two arms apart, whatever they score."
TRIALS = "Trials of the learning-rate search on an inner split of the training images: {several}."
LOSSES = "Loss of pretraining{apart}. {runs}."
APART = "; each method has a loss, and so a scale, of its own"

CAPTIONS: dict[str, str] = {
    "contrasts": (
        "Paired differences in points of IoU (0.01), first minus second. A verdict needs both the interval and the "
        "adjusted p; “undecided” says that the study was too small to tell, not that there is no difference, and "
        "one seed is always too few; so are arms that both segment nothing. Differences below {margin} points count as "
        "none when arms are called equivalent. False claim is the probability that the arm that looks better is not; "
        "runs won, how often a run of the first arm beats one of the second in the same cell; detectable, the smallest "
        "true difference that a study of this size finds with probability 0.8."
    ),
    "fresh_contrasts": (
        "The primary contrast on the images that had no part in choosing what is compared, in the columns of the table "
        "above. A choice made on an image flatters what was chosen there; these are free of it."
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
        "What padding does, counted on the first draws of each training. A mirrored lesion is a draw in which part of "
        "the lesion lies where nothing was photographed; lesion beyond is how much of it does, in those draws; square "
        "filled, how much of a training picture padding made up, in all."
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
        "and pairs, and what was done. A pretraining that was found done for another split was held against what that "
        "one held out; for this study the encoder's side of fine-tuning counts."
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
