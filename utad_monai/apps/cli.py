"""The `utad-monai` command: every command calls one library function."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from utad_monai import __version__
from utad_monai.errors import expected_cause
from utad_monai.keys import (
    EvaluationProtocol,
    FusionMethod,
    InferenceEngine,
    IntensityRange,
    Modality,
    OnBadCase,
    Pairs,
    Placing,
    Split,
    TrainPreset,
    TreeLayout,
    VoxelType,
)
from utad_monai.runtime.console import TRACEBACK_VARIABLE, counted, show_error, show_next
from utad_monai.runtime.openmp import wait_briefly
from utad_monai.runtime.signals import Interruption, interruptible

_MODALITIES = "[flair|t1|t1ce|t2|...]"

LabelSetOption = Annotated[
    str,
    typer.Option(
        "--label-set",
        metavar="NAME|FILE",
        help="What label values mean: brats2020, brats2023, brats2024, brats-ped, brats-met, msd, ucsf-pdgm, or a JSON "
        "or CSV file; by default what the cohort says.",
    ),
]

DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        "-d",
        metavar="auto|cpu|cuda|cuda:1|mps",
        help="Where to compute; auto: a CUDA GPU if there is one, else the CPU.",
    ),
]


def _image_option(modality: Modality) -> Any:
    name = modality.upper().replace("T1CE", "T1 with contrast")
    text = f"{name} image of one patient, in place of COHORT."
    return typer.Option(f"--{modality}", metavar="FILE", help=text)


app = typer.Typer(
    help="Make missing MRI modalities of brain tumour patients, and measure how good they are.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _examples(*commands: str) -> str:
    """Return what stands below the help of a command: whole commands that work, which the tests hold to it."""
    return "\n\n".join(("Examples:" if len(commands) > 1 else "Example:", *commands))  # typer may join other lines


def main() -> None:
    """Run the command; an expected error ends in plain lines and its exit code, SIGTERM in 143, SIGINT in 130."""
    wait_briefly()
    try:
        with interruptible():
            app()
    except Interruption as error:
        kept = "what is finished is kept; run the same command again to go on"
        typer.echo(f"interrupted by {error.signal.name}: {kept}", err=True)
        raise
    except Exception as error:
        cause = expected_cause(error)
        if cause is None or os.environ.get(TRACEBACK_VARIABLE):
            raise
        show_error(cause)
        raise SystemExit(getattr(cause, "exit_code", 1)) from None


def _asked_device(name: str) -> str:
    """Return the device that a user asks a training for; empty where the bundles choose."""
    from utad_monai.runtime.parallel import AUTO, chosen_device

    return "" if name == AUTO else str(chosen_device(name))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Make missing MRI modalities of brain tumour patients, and measure how good they are."""


@app.command(epilog=_examples("utad-monai phantom cohort --cases 4 --seed 7"))
def phantom(
    output_dir: Annotated[Path, typer.Argument(help="Folder for the cohort.")],
    cases: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 24,
    seed: Annotated[int, typer.Option(help="Random seed; another one gives other patients.")] = 0,
    spacing_mm: Annotated[float, typer.Option("--spacing", help="Voxel size in mm, 1 or 2.")] = 2.0,
) -> None:
    """Write a synthetic tumour cohort in BraTS 2020 layout (no patients)."""
    from utad_monai.phantom.cohort import write_phantom_cohort

    try:
        folder = write_phantom_cohort(output_dir, cases, seed, spacing_mm)
    except (ValueError, FileExistsError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{counted(cases, 'synthetic case')} in {folder}")


@app.command(epilog=_examples("utad-monai bundles"))
def bundles() -> None:
    """Print the folder of the packaged bundle configs."""
    from utad_monai.bundle.configs import bundles_dir

    typer.echo(bundles_dir())


@app.command(
    "run",
    context_settings={"ignore_unknown_options": True},  # they are overrides
    epilog=_examples(
        "utad-monai run teacher demo --dataset_dir cohort --output_dir run",
        "utad-monai run student demo --dataset_dir cohort --output_dir run",
    ),
)
def run_stage(
    configs: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG [--KEY VALUE]",
            help="Names of packaged bundles, or config files; then settings to change.",
        ),
    ],
    run_id: Annotated[str, typer.Option(help="What to run of the config; by default its training.")] = "",
    trust: Annotated[bool, typer.Option("--trust", help="Run configs that could run any code; only your own.")] = False,
    logging_file: Annotated[str, typer.Option(help="A logging config; by default the packaged one.")] = "",
) -> None:
    """Run one stage of a training, an inference or an evaluation: a bundle, with settings of yours."""
    from utad_monai.bundle.run import run_configs

    show_next(run_configs(configs, run_id, trust, logging_file))


@app.command(epilog=_examples("utad-monai demo", "utad-monai demo --dataset cohort --output trial"))
def demo(
    output_dir: Annotated[Path, typer.Option("--output", "-o", help="Folder for all results.")] = Path("demo"),
    dataset_dir: Annotated[
        str, typer.Option("--dataset", help="Folder of a cohort; by default the built-in phantom.")
    ] = "",
    on_bad_case: Annotated[OnBadCase, typer.Option(help="Stop when a case has errors, or skip it.")] = OnBadCase.REFUSE,
    device: DeviceOption = "auto",
) -> None:
    """Run the whole pipeline on the built-in phantom in minutes: train, make volumes, measure Dice."""
    from utad_monai.apps.demo import run_demo

    run_demo(output_dir, dataset_dir, on_bad_case, device=_asked_device(device))


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog=_examples(
        "utad-monai train cohort --output run", "utad-monai train cohort --output run --max_epochs 30 --decay_epochs 15"
    ),
)
def train(
    context: typer.Context,
    dataset_dir: Annotated[
        Path, typer.Argument(metavar="COHORT", help="Folder of the cohort, or a CSV table of its cases.")
    ],
    output_dir: Annotated[Path, typer.Option("--output", "-o", help="Folder for all results; not inside the cohort.")],
    preset: Annotated[
        TrainPreset, typer.Option(help="Sizes: demo (processors), full (a GPU), or what fits this machine.")
    ] = TrainPreset.AUTO,
    pairs: Annotated[
        Pairs, typer.Option(help="auto: patients who have several images are used as pairs; never: unpaired.")
    ] = Pairs.AUTO,
    device: DeviceOption = "auto",
    on_bad_case: Annotated[OnBadCase, typer.Option(help="Stop when a case has errors, or skip it.")] = OnBadCase.REFUSE,
    label_set: LabelSetOption = "",
) -> None:
    """Train on a cohort: all stages, with the time they will take, and a report. The same command resumes.

    Any setting of the stages can follow, such as --max_epochs 30.
    """
    from utad_monai.apps.train import TrainSettings, train_cohort

    settings = TrainSettings(
        dataset_dir,
        output_dir,
        preset=preset,
        pairs=pairs,
        device=device,
        on_bad_case=on_bad_case,
        label_set=label_set,
        overrides=context.args,
    )
    train_cohort(settings)


@app.command(epilog=_examples("utad-monai report trial --dataset cohort", "utad-monai report completed"))
def report(
    output_dir: Annotated[Path, typer.Argument(help="Folder of a finished run, or of a completion.")],
    dataset_dir: Annotated[
        str, typer.Option("--dataset", help="Folder of the run's cohort; by default the built-in phantom.")
    ] = "",
    max_cases: Annotated[
        int | None,
        typer.Option(
            min=0,
            show_default=False,
            help="Number of cases with pictures; by default 8 test cases of a run, 300 of a completion.",
        ),
    ] = None,
) -> None:
    """Write a report as one HTML file: of a run tables, figures and slices, of a completion a picture of each case."""
    from utad_monai.apps.report.completion import MOST_PICTURES, is_completion, write_completion_report

    if is_completion(output_dir):
        path = write_completion_report(output_dir, MOST_PICTURES if max_cases is None else max_cases)
    else:
        from utad_monai.apps.report.html_report import MAX_CASES, write_report
        from utad_monai.phantom.cohort import default_dataset_dir

        path = write_report(
            output_dir, dataset_dir or default_dataset_dir(), MAX_CASES if max_cases is None else max_cases
        )
    typer.echo(f"written: {path}")


@app.command(epilog=_examples("utad-monai study", "utad-monai study --dataset cohort --preset paper --output study"))
def study(
    output_dir: Annotated[Path, typer.Option("--output", "-o", help="Folder for all results.")] = Path("study"),
    dataset_dir: Annotated[
        str, typer.Option("--dataset", help="Folder of a cohort; by default the built-in phantom.")
    ] = "",
    preset: Annotated[str, typer.Option(help="A preset of the study config: demo or paper.")] = "demo",
    method: Annotated[list[str] | None, typer.Option(help="Only this method; may be repeated.")] = None,
    max_epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of every method, in place of the preset's.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="Minutes of training for every method, in place of epochs.")
    ] = 0.0,
    test_fraction: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of patients for testing, in place of the preset's.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Number of trainings at a time; 0: one per core, or one on a GPU.")
    ] = 0,
    config_file: Annotated[str, typer.Option("--config", help="Your own study config.")] = "",
    trust: Annotated[bool, typer.Option("--trust", help="Accept a study config that could run any code.")] = False,
    expect: Annotated[
        Path | None,
        typer.Option(help="A study_results.csv to compare with: exit code 1 if a mean is outside its intervals."),
    ] = None,
    on_bad_case: Annotated[OnBadCase | None, typer.Option(help="Stop when a case has errors, or skip it.")] = None,
    device: DeviceOption = "auto",
) -> None:
    """Compare methods: train each for the same time, measure on the same cases, test the differences."""
    from utad_monai.apps.report.study_figures import write_study_figures
    from utad_monai.apps.report.study_section import check_expected, show_study
    from utad_monai.apps.study import StudyFile, load_plan, run_study
    from utad_monai.phantom.cohort import default_dataset_dir

    budget = {"max_epochs": max_epochs, "decay_epochs": max_epochs // 2} if max_epochs else {}
    chosen = {"test_fraction": test_fraction, "on_bad_case": on_bad_case and str(on_bad_case)}
    chosen["device"] = _asked_device(device) or None
    cohort = {key: value for key, value in chosen.items() if value is not None}
    try:
        plan = load_plan(preset, method or (), config_file, cohort, budget, minutes=minutes, trusted=trust)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    cohort_dir = dataset_dir or default_dataset_dir()
    results = run_study(plan, cohort_dir, output_dir, workers or None)
    figures = write_study_figures(plan, cohort_dir, output_dir)
    show_study(results, output_dir)
    typer.echo(f"written: {len(figures)} figures in {figures[0].parent}")
    if expect is not None and not check_expected(output_dir / StudyFile.RESULTS, expect):
        raise typer.Exit(1)


@app.command(
    epilog=_examples(
        "utad-monai complete cohort --output completed",
        "utad-monai complete cohort -m run -o completed --layout nnunet",
        "utad-monai complete --t1 a.nii.gz --flair b.nii.gz -o P001",
    )
)
def complete(
    output_dir: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results; not inside the cohort.")],
    dataset_dir: Annotated[
        Path | None,
        typer.Argument(
            metavar="[COHORT]",
            show_default=False,
            help="Folder of the cohort, or a CSV table of its cases; for one patient give --t1, --flair, ... instead.",
        ),
    ] = None,
    flair: Annotated[Path | None, _image_option(Modality.FLAIR)] = None,
    t1: Annotated[Path | None, _image_option(Modality.T1)] = None,
    t1ce: Annotated[Path | None, _image_option(Modality.T1CE)] = None,
    t2: Annotated[Path | None, _image_option(Modality.T2)] = None,
    as_given: Annotated[
        bool, typer.Option("--as-given", help="Of one patient: also use an image that looks like another modality.")
    ] = False,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            "-m",
            help="Folder of a training, model file of a student, or a package (folder or zip); by default the starter "
            "weights.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    target: Annotated[
        list[Modality] | None,
        typer.Option(
            parser=Modality.named,
            metavar=_MODALITIES,
            help="Make this modality (may be repeated); by default all that are missing.",
        ),
    ] = None,
    source: Annotated[
        list[Modality] | None,
        typer.Option(
            parser=Modality.named,
            metavar=_MODALITIES,
            help="Use this modality as a source (may be repeated); by default all.",
        ),
    ] = None,
    fuse: Annotated[
        FusionMethod, typer.Option(help="How translations from several sources become one image.")
    ] = FusionMethod.BEST,
    flips: Annotated[
        bool | None,
        typer.Option(
            "--flips/--no-flips",
            help="Also translate mirror images and average: twice the time. Default for the starter weights.",
        ),
    ] = None,
    smooth_mm: Annotated[float, typer.Option(min=0, help="Smooth across slices: sigma in mm; 0: no smoothing.")] = 0.0,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty/--no-uncertainty",
            help="Write a map of how much translations differ; it hardly says where errors are.",
        ),
    ] = False,
    intensities: Annotated[
        IntensityRange | None,
        typer.Option(
            help="Intensities of the volumes: as in the model's training cohort, as in this cohort (default for the "
            "starter), or unit: [0, 1]."
        ),
    ] = None,
    calibrate: Annotated[bool, typer.Option(help="Give volumes the intensities of this cohort, by histograms.")] = True,
    dtype: Annotated[VoxelType, typer.Option(help="Number format of the volumes.")] = VoxelType.INT16,
    ignore_unclaimed: Annotated[
        bool,
        typer.Option(
            "--ignore-unclaimed", help="Also make what an image that no layout takes may be (see the warnings)."
        ),
    ] = False,
    layout: Annotated[TreeLayout | None, typer.Option(help="Also write the completed cohort in this layout.")] = None,
    link: Annotated[
        bool, typer.Option("--link/--copy", help="In that layout: link the original images, or copy them.")
    ] = True,
    workers: Annotated[
        int, typer.Option(min=1, help="Number of processes; each needs memory for the model and one case.")
    ] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Slices that are translated at once.")] = 8,
    engine: Annotated[
        InferenceEngine,
        typer.Option(help="Library that runs the network; auto: OpenVINO on a CPU if installed, else torch."),
    ] = InferenceEngine.AUTO,
    resume: Annotated[bool, typer.Option(help="Keep volumes that are finished.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    shard: Annotated[
        str, typer.Option(help="Complete one part of the cohort: 0/4 to 3/4, or slurm; automatic with torchrun.")
    ] = "",
    merge: Annotated[bool, typer.Option("--merge", help="Only write the manifest of all shards.")] = False,
    label_set: LabelSetOption = "",
) -> None:
    """Make every missing modality of every case of a cohort, or of one patient."""
    from utad_monai.apps.complete import (
        Completion,
        CompletionSettings,
        chosen_shard,
        complete_cohort,
        merge_shards,
        plan_completion,
    )
    from utad_monai.apps.complete.console import show_completed, show_patient, show_plan
    from utad_monai.inferers import TranslationOptions
    from utad_monai.runtime.console import plain_log
    from utad_monai.runtime.parallel import chosen_device

    given = {Modality.FLAIR: flair, Modality.T1: t1, Modality.T1CE: t1ce, Modality.T2: t2}
    images = {modality: path for modality, path in given.items() if path is not None}
    if bool(images) == (dataset_dir is not None):
        raise typer.BadParameter("give a COHORT, or the images of one patient: --t1 FILE --flair FILE")
    options = TranslationOptions(fusion=fuse, flips=flips, smooth_mm=smooth_mm, uncertainty=uncertainty, engine=engine)
    settings = CompletionSettings(
        targets=target or (),
        sources=source or (),
        options=options,
        intensities=intensities,
        dtype=dtype,
        calibrate=calibrate,
        ignore_unclaimed=ignore_unclaimed,
    )
    completion = Completion(
        images or dataset_dir or "",
        model,
        output_dir=output_dir,
        settings=settings,
        workers=workers,
        batch_size=batch_size,
        device=str(chosen_device(device)),
        resume=resume,
        tree=layout or "",
        placing=Placing.LINK if link else Placing.COPY,
        shard=None if merge else chosen_shard(shard),
        label_set=label_set,
        as_given=as_given,
    )
    with plain_log():
        if dry_run:
            show_plan(plan_completion(completion))
            return
        completed = merge_shards(completion) if merge else complete_cohort(completion)
    if images:
        show_patient(completed, output_dir)
    else:
        show_completed(completed, output_dir)
    if not completed.flawless:
        raise typer.Exit(2)


@app.command(
    epilog=_examples(
        "utad-monai evaluate cohort --output evaluated",
        "utad-monai evaluate cohort -m model.safetensors -o evaluated",
    )
)
def evaluate(
    dataset_dir: Annotated[
        Path, typer.Argument(metavar="COHORT", help="Folder of the cohort, or a CSV table of its cases.")
    ],
    output_dir: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results; a split.csv in it says who is tested.")
    ],
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", help="Model file, or folder of a training; by default the starter weights."),
    ] = None,
    device: DeviceOption = "auto",
    protocol: Annotated[
        list[EvaluationProtocol] | None, typer.Option(help="By whose rules to measure (may be repeated).")
    ] = None,
    split: Annotated[Split, typer.Option(help="Which patients to measure.")] = Split.TEST,
    flips: Annotated[
        bool | None,
        typer.Option(
            "--flips/--no-flips",
            help="Also translate mirror images and average: twice the time. Default for the starter weights.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Slices that are translated at once.")] = 16,
    on_bad_case: Annotated[OnBadCase, typer.Option(help="Stop when a case has errors, or skip it.")] = OnBadCase.REFUSE,
    label_set: LabelSetOption = "",
) -> None:
    """Measure a model beside a copy of the source, a flat brain and a contrast map, on patients with segmentations."""
    from utad_monai.apps.evaluate import evaluate_cohort, show_evaluated
    from utad_monai.runtime.parallel import chosen_device

    evaluated = evaluate_cohort(
        dataset_dir,
        output_dir,
        model,
        protocols=protocol or [EvaluationProtocol.OURS],
        split=split,
        flips=flips,
        batch_size=batch_size,
        device=str(chosen_device(device)),
        on_bad_case=on_bad_case,
        label_set=label_set,
    )
    show_evaluated(evaluated)


@app.command("import-checkpoint", epilog=_examples("utad-monai import-checkpoint G.ckpt run/teacher/model.safetensors"))
def import_checkpoint(
    state_dict: Annotated[Path, typer.Argument(help="State dict of the published generator.")],
    output: Annotated[Path, typer.Argument(help="Model file to write.")],
    student: Annotated[bool, typer.Option(help="The weights are those of a student, which needs no mask.")] = False,
    image_size: Annotated[int, typer.Option(help="Height and width of its slices, in pixels.")] = 128,
    frame_mm: Annotated[float, typer.Option(help="Height and width of its slices, in mm.")] = 240.0,
) -> None:
    """Convert weights of the published generator into a model of this project."""
    from utad_monai.data.preprocessing import Preprocessing
    from utad_monai.keys import SecondInput
    from utad_monai.models.published_names import import_published_checkpoint

    try:
        preprocessing = Preprocessing((frame_mm, frame_mm), (image_size, image_size))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    second_input = SecondInput.WHOLE_IMAGE if student else SecondInput.TUMOUR_IMAGE
    import_published_checkpoint(state_dict, output, preprocessing, second_input)
    typer.echo(f"written: {output}")


@app.command(epilog=_examples("utad-monai check cohort", "utad-monai check cohort --json check.json"))
def check(
    dataset_dir: Annotated[
        Path, typer.Argument(metavar="COHORT", help="Folder of the cohort, or a CSV table of its cases.")
    ],
    json_file: Annotated[
        str,
        typer.Option("--json", metavar="FILE", help="Write the report as JSON; - prints it in place of the tables."),
    ] = "",
    workers: Annotated[int, typer.Option(min=0, help="Number of cases at a time; 0: one per core.")] = 0,
    label_set: LabelSetOption = "",
) -> None:
    """Show what is in a cohort, with errors and warnings; exit code 2 if a case has errors."""
    from utad_monai.apps.check import check_cohort, show_report, write_report_json

    report = check_cohort(dataset_dir, workers=workers or None, label_set=label_set)
    if json_file:
        write_report_json(report, json_file)
    if json_file != "-":
        show_report(report)
    raise typer.Exit(report.exit_code)


@app.command(epilog=_examples("utad-monai package run/student/model.safetensors packages --name mine"))
def package(
    model: Annotated[Path, typer.Argument(help="A student's model file, or an older package.")],
    output_dir: Annotated[Path, typer.Argument(help="Folder in which the package is made.")],
    name: Annotated[str, typer.Option(help="Name of the package and of its folder.")] = "",
    release: Annotated[str, typer.Option(help="Version of the package.")] = "",
    change: Annotated[str, typer.Option(help="What changed in this version, for the changelog.")] = "",
    data_source: Annotated[str, typer.Option(help="What the model was trained on, for the model card.")] = "",
    onnx: Annotated[bool, typer.Option(help="Write models/model.onnx (any batch, height and width).")] = True,
    torchscript: Annotated[bool, typer.Option(help="Write models/model.ts.")] = True,
    pt2: Annotated[bool, typer.Option("--pt2", help="Write models/model.pt2 (torch.export).")] = False,
) -> None:
    """Write a student as a MONAI bundle, with ONNX and TorchScript."""
    from utad_monai.apps.package.configs import Label
    from utad_monai.apps.package.writer import write_package

    given = {"name": name, "release": release, "change": change, "data_source": data_source}
    label = Label(**{key: value for key, value in given.items() if value})
    for line in write_package(model, output_dir, label, onnx, torchscript, pt2=pt2).lines():
        typer.echo(line)


@app.command(
    epilog=_examples(
        "utad-monai prepare raw cohort --dry-run", "utad-monai prepare raw cohort --n4 --brain-mask hd-bet"
    )
)
def prepare(
    raw: Annotated[Path, typer.Argument(help="Folder with one folder of images per case, or a CSV table of files.")],
    output_dir: Annotated[Path, typer.Argument(help="Folder for the prepared cohort.")],
    reference: Annotated[
        str,
        typer.Option(
            help="Image that the others are registered to: flair, t1, t1ce or t2; by default the first of t1ce, t1, "
            "flair, t2."
        ),
    ] = "",
    grid: Annotated[
        str,
        typer.Option(
            help="Voxel grid of the results: brats (1 mm, 240x240x155) or reference (as in the reference image)."
        ),
    ] = "brats",
    n4: Annotated[bool, typer.Option("--n4/--no-n4", help="Correct the bias field of every image.")] = False,
    brain_mask: Annotated[
        str, typer.Option(help="How the brain is found: auto, given, own, hd-bet, synthstrip, otsu (rough) or none.")
    ] = "auto",
    interpolation: Annotated[str, typer.Option(help="Interpolation of the images: linear or bspline.")] = "linear",
    workers: Annotated[int, typer.Option(min=0, help="Number of cases at a time; 0: one per core, at most 4.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which images are recognised.")] = False,
    to_native: Annotated[
        Path | None,
        typer.Option(help="In place of preparing: resample the images of this folder to the grids of the raw images."),
    ] = None,
    native_output: Annotated[Path | None, typer.Option(help="Folder for the results of --to-native.")] = None,
    native_grid: Annotated[str, typer.Option(help="Image whose grid --to-native uses; by default the reference.")] = "",
    label_set: LabelSetOption = "",
) -> None:
    """Register, resample and skull-strip raw images (DICOM, NIfTI, NRRD, MetaImage), or bring results back to them."""
    from utad_monai.apps.prepare import command

    try:
        settings = command.settings_of(reference, grid, n4, brain_mask, interpolation)
        if to_native is not None:
            code = command.bring_back(output_dir, to_native, native_output, native_grid)
        elif dry_run:
            code = command.show(raw, label_set)
        else:
            code = command.prepare(raw, output_dir, settings, workers, label_set=label_set)
    except command.UsageError as error:
        raise typer.BadParameter(str(error)) from error
    raise typer.Exit(code)
