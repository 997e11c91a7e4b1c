"""The `utad-monai` command: every command calls one library function."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from utad_monai import __version__
from utad_monai.errors import expected_cause
from utad_monai.keys import (
    FusionMethod,
    InferenceEngine,
    IntensityRange,
    Modality,
    OnBadCase,
    Placing,
    TreeLayout,
    VoxelType,
)
from utad_monai.runtime.console import TRACEBACK_VARIABLE, visible
from utad_monai.runtime.signals import Interruption, interruptible

_MODALITIES = "[flair|t1|t1ce|t2|...]"

app = typer.Typer(
    help="Translate between brain tumour MRI modalities, tumour-aware, and measure what it is worth.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command; an expected error ends in plain lines and exit code 1, SIGTERM in 143, SIGINT in 130."""
    try:
        with interruptible():
            app()
    except Interruption as error:
        typer.echo(f"interrupted by {error.signal.name}: what is finished is kept", err=True)
        raise
    except Exception as error:
        cause = expected_cause(error)
        if cause is None or os.environ.get(TRACEBACK_VARIABLE):
            raise
        for line in str(cause).splitlines():
            typer.echo(f"error: {visible(line)}", err=True)
        raise SystemExit(1) from None


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
    """Translate between brain tumour MRI modalities, tumour-aware, and measure what it is worth."""


@app.command()
def phantom(
    output_dir: Annotated[Path, typer.Argument(help="Folder for the cohort.")],
    cases: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 24,
    seed: Annotated[int, typer.Option(help="Another seed gives other patients.")] = 0,
    spacing_mm: Annotated[float, typer.Option("--spacing", help="Voxel size in mm, 1 or 2.")] = 2.0,
) -> None:
    """Write a synthetic tumour cohort in BraTS 2020 layout (no patient was imaged)."""
    from utad_monai.phantom.cohort import write_phantom_cohort

    try:
        folder = write_phantom_cohort(output_dir, cases, seed, spacing_mm)
    except (ValueError, FileExistsError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{cases} synthetic cases in {folder}")


@app.command()
def bundles() -> None:
    """Print the folder of the packaged bundle configs."""
    from utad_monai.bundle.configs import bundles_dir

    typer.echo(bundles_dir())


@app.command("run")
def run_stage(
    configs: Annotated[
        list[str], typer.Argument(metavar="CONFIG... [-- --key value...]", help="Bundles or your files.")
    ],
    run_id: Annotated[str, typer.Option(help="By default training where there is one, else run.")] = "",
    trust: Annotated[bool, typer.Option("--trust", help="A config is code: run these all the same.")] = False,
    logging_file: Annotated[str, typer.Option(help="A logging config; the packaged one by default.")] = "",
) -> None:
    """Run a stage: utad-monai run teacher demo -- --dataset_dir COHORT --output_dir OUTPUT."""
    from utad_monai.bundle.run import run_configs

    run_configs(configs, run_id, trust, logging_file)


@app.command()
def demo(
    output_dir: Annotated[Path, typer.Option("--output", help="Folder for everything the demo makes.")] = Path("demo"),
    dataset_dir: Annotated[str, typer.Option("--dataset", help="A cohort; the embedded phantom by default.")] = "",
    on_bad_case: Annotated[
        OnBadCase, typer.Option(help="Refuse a cohort with bad cases, or skip them.")
    ] = OnBadCase.REFUSE,
) -> None:
    """Run the whole pipeline in minutes: train, distil, synthesize volumes, measure Dice."""
    from utad_monai.apps.demo import run_demo

    run_demo(output_dir, dataset_dir, on_bad_case)


@app.command()
def report(
    output_dir: Annotated[Path, typer.Argument(help="Folder of a run that was evaluated.")],
    dataset_dir: Annotated[str, typer.Option("--dataset", help="Its cohort; the embedded phantom by default.")] = "",
    max_cases: Annotated[int, typer.Option(min=0, help="Test cases that can be browsed.")] = 8,
) -> None:
    """Write one HTML file with tables, figures, slices and a 3-D viewer of a run."""
    from utad_monai.apps.report.html_report import write_report
    from utad_monai.phantom.cohort import default_dataset_dir

    typer.echo(f"written: {write_report(output_dir, dataset_dir or default_dataset_dir(), max_cases)}")


@app.command()
def study(
    output_dir: Annotated[Path, typer.Option("--output", help="Folder for everything the study makes.")] = Path(
        "study"
    ),
    dataset_dir: Annotated[str, typer.Option("--dataset", help="A cohort; the embedded phantom by default.")] = "",
    preset: Annotated[str, typer.Option(help="A preset of the study config: demo or paper.")] = "demo",
    method: Annotated[list[str] | None, typer.Option(help="Only this method; may be repeated.")] = None,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of every method, not the preset's.")] = None,
    minutes: Annotated[float, typer.Option(min=0, help="Training time of every method, instead of epochs.")] = 0.0,
    test_fraction: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of patients for testing, instead of the preset's.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Trainings side by side; 0 for one per processor, or one on a GPU.")
    ] = 0,
    config_file: Annotated[str, typer.Option("--config", help="A study config of your own.")] = "",
    trust: Annotated[bool, typer.Option("--trust", help="The study config may hold code.")] = False,
    expect: Annotated[
        Path | None, typer.Option(help="A study_results.csv: exit code 1 when a mean lies outside its intervals.")
    ] = None,
    on_bad_case: Annotated[OnBadCase | None, typer.Option(help="Refuse a cohort with bad cases, or skip them.")] = None,
) -> None:
    """Train methods under one budget, measure them on the same cases, and test the differences."""
    from utad_monai.apps.report.study_figures import write_study_figures
    from utad_monai.apps.report.study_section import check_expected, show_study
    from utad_monai.apps.study import StudyFile, load_plan, run_study
    from utad_monai.phantom.cohort import default_dataset_dir

    budget = {"max_epochs": max_epochs, "decay_epochs": max_epochs // 2} if max_epochs else {}
    chosen = {"test_fraction": test_fraction, "on_bad_case": on_bad_case and str(on_bad_case)}
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


@app.command()
def complete(
    dataset_dir: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort, or a CSV table of its cases.")],
    output_dir: Annotated[Path, typer.Option("--output", help="Folder for the results, outside the cohort.")],
    model: Annotated[
        Path | None,
        typer.Option(help="A student: its model file, or a package (folder or zip); by default the starter weights."),
    ] = None,
    target: Annotated[
        list[Modality] | None,
        typer.Option(parser=Modality.named, metavar=_MODALITIES, help="Make this modality; may be repeated."),
    ] = None,
    source: Annotated[
        list[Modality] | None,
        typer.Option(parser=Modality.named, metavar=_MODALITIES, help="Start from this modality; may be repeated."),
    ] = None,
    fuse: Annotated[FusionMethod, typer.Option(help="How several sources become one image.")] = FusionMethod.BEST,
    flips: Annotated[
        bool | None,
        typer.Option(
            "--flips/--no-flips", help="Translate mirror images too, and average; by default with the starter weights."
        ),
    ] = None,
    smooth_mm: Annotated[float, typer.Option(min=0, help="Smooth from slice to slice, sigma in mm.")] = 0.0,
    uncertainty: Annotated[
        bool | None,
        typer.Option(
            "--uncertainty/--no-uncertainty",
            help="Write how much translations disagree; by default of one source each.",
        ),
    ] = None,
    intensities: Annotated[
        IntensityRange | None,
        typer.Option(
            help="The range of the volumes: training (the default), cohort (that of the starter), unit: [0, 1]."
        ),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option(help="Give what a phantom taught the intensities of this cohort, by histograms.")
    ] = True,
    dtype: Annotated[VoxelType, typer.Option(help="How volumes are stored.")] = VoxelType.INT16,
    layout: Annotated[
        TreeLayout | None, typer.Option(help="Also write a cohort with all four modalities in this layout.")
    ] = None,
    link: Annotated[bool, typer.Option("--link/--copy", help="Link the originals into it, or copy them.")] = True,
    workers: Annotated[int, typer.Option(min=1, help="Processes side by side; each holds model and case.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Slices in one pass of the network.")] = 8,
    engine: Annotated[
        InferenceEngine, typer.Option(help="What computes; auto: OpenVINO on a processor where installed, else torch.")
    ] = InferenceEngine.AUTO,
    resume: Annotated[bool, typer.Option(help="Keep what is finished already.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    shard: Annotated[str, typer.Option(help="Complete a share: 0/4 to 3/4, or slurm; torchrun's by itself.")] = "",
    merge: Annotated[bool, typer.Option("--merge", help="Only write the account of what shards have done.")] = False,
) -> None:
    """Make every missing modality of every case, with provenance, uncertainty and a manifest."""
    from utad_monai.apps.complete import (
        Completion,
        CompletionSettings,
        chosen_shard,
        complete_cohort,
        merge_shards,
        plan_completion,
    )
    from utad_monai.apps.complete.console import show_completed, show_plan
    from utad_monai.inferers import TranslationOptions
    from utad_monai.runtime.console import plain_log
    from utad_monai.runtime.parallel import local_device

    options = TranslationOptions(fusion=fuse, flips=flips, smooth_mm=smooth_mm, uncertainty=uncertainty, engine=engine)
    settings = CompletionSettings(
        targets=target or (),
        sources=source or (),
        options=options,
        intensities=intensities,
        dtype=dtype,
        calibrate=calibrate,
    )
    completion = Completion(
        dataset_dir,
        model,
        output_dir,
        settings,
        workers,
        batch_size,
        str(local_device()),
        resume,
        layout or "",
        Placing.LINK if link else Placing.COPY,
        shard=None if merge else chosen_shard(shard),
    )
    with plain_log():
        if dry_run:
            show_plan(plan_completion(completion))
            return
        completed = merge_shards(completion) if merge else complete_cohort(completion)
    show_completed(completed, output_dir)
    if not completed.flawless:
        raise typer.Exit(2)


@app.command("import-checkpoint")
def import_checkpoint(
    state_dict: Annotated[Path, typer.Argument(help="State dict with the published generator's names.")],
    output: Annotated[Path, typer.Argument(help="Model file to write.")],
    student: Annotated[bool, typer.Option(help="It is a student: its second input is the image itself.")] = False,
    image_size: Annotated[int, typer.Option(help="Height and width it was trained with, in pixels.")] = 128,
    frame_mm: Annotated[float, typer.Option(help="Height and width of its slices, in mm.")] = 240.0,
) -> None:
    """Turn weights with the published names into a model of this project."""
    from utad_monai.data.preprocessing import Preprocessing
    from utad_monai.keys import SecondInput
    from utad_monai.models.published_names import import_published_checkpoint

    preprocessing = Preprocessing((frame_mm, frame_mm), (image_size, image_size))
    second_input = SecondInput.WHOLE_IMAGE if student else SecondInput.TUMOUR_IMAGE
    import_published_checkpoint(state_dict, output, preprocessing, second_input)
    typer.echo(f"written: {output}")


@app.command()
def check(
    dataset_dir: Annotated[Path, typer.Argument(metavar="COHORT", help="The cohort's folder, or its CSV table.")],
    json_file: Annotated[
        str, typer.Option("--json", metavar="FILE", help="Write everything as JSON; - prints it instead of the tables.")
    ] = "",
    workers: Annotated[int, typer.Option(min=0, help="Cases checked at a time; 0 for one per processor.")] = 0,
) -> None:
    """Show what a cohort holds and what is wrong with it; exit code 2 when some cases would be refused."""
    from utad_monai.apps.check import check_cohort, show_report, write_report_json

    report = check_cohort(dataset_dir, workers=workers or None)
    if json_file:
        write_report_json(report, json_file)
    if json_file != "-":
        show_report(report)
    raise typer.Exit(report.exit_code)


@app.command()
def package(
    model: Annotated[Path, typer.Argument(help="A student's model file, or an older package.")],
    output_dir: Annotated[Path, typer.Argument(help="Folder for packages; the package is a folder in it.")],
    name: Annotated[str, typer.Option(help="Name of the package and of its folder; by default a general one.")] = "",
    release: Annotated[str, typer.Option(help="Version of the package; by default the project's.")] = "",
    change: Annotated[str, typer.Option(help="The version's line in the changelog.")] = "",
    data_source: Annotated[str, typer.Option(help="What the model was trained on, for the model card.")] = "",
    onnx: Annotated[bool, typer.Option(help="Write models/model.onnx, with free batch, height and width.")] = True,
    torchscript: Annotated[bool, typer.Option(help="Write models/model.ts.")] = True,
    pt2: Annotated[bool, typer.Option("--pt2", help="Write models/model.pt2, of torch.export.")] = False,
) -> None:
    """Write a student as a MONAI bundle in the form of the model zoo, with ONNX and TorchScript."""
    from utad_monai.apps.package.configs import Label
    from utad_monai.apps.package.writer import write_package

    given = {"name": name, "release": release, "change": change, "data_source": data_source}
    label = Label(**{key: value for key, value in given.items() if value})
    for line in write_package(model, output_dir, label, onnx, torchscript, pt2).lines():
        typer.echo(line)


@app.command()
def prepare(
    raw: Annotated[Path, typer.Argument(help="Folder with a folder of images per case, or a CSV table of files.")],
    output_dir: Annotated[Path, typer.Argument(help="Folder for the prepared cohort.")],
    reference: Annotated[str, typer.Option(help="flair, t1, t1ce or t2; by default t1ce, t1, flair, t2.")] = "",
    grid: Annotated[str, typer.Option(help="brats (1 mm, 240x240x155) or reference (its own voxels).")] = "brats",
    n4: Annotated[bool, typer.Option("--n4/--no-n4", help="Correct the bias field of every image.")] = False,
    brain_mask: Annotated[
        str, typer.Option(help="auto, given, own, hd-bet, synthstrip, otsu (rough) or none.")
    ] = "auto",
    interpolation: Annotated[str, typer.Option(help="linear or bspline.")] = "linear",
    workers: Annotated[int, typer.Option(min=0, help="Cases side by side; 0 for one per processor, at most 4.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what is recognised.")] = False,
    to_native: Annotated[
        Path | None, typer.Option(help="Bring the images of this folder back onto the raw grids instead.")
    ] = None,
    native_output: Annotated[Path | None, typer.Option(help="Where --to-native writes.")] = None,
    native_grid: Annotated[str, typer.Option(help="Onto whose raw grid; by default the reference's.")] = "",
) -> None:
    """Register, resample and skull-strip raw images (DICOM, NIfTI, NRRD, MetaImage); or bring results back."""
    from utad_monai.apps.prepare import command

    try:
        settings = command.settings_of(reference, grid, n4, brain_mask, interpolation)
        if to_native is not None:
            code = command.bring_back(output_dir, to_native, native_output, native_grid)
        elif dry_run:
            code = command.show(raw)
        else:
            code = command.prepare(raw, output_dir, settings, workers)
    except command.UsageError as error:
        raise typer.BadParameter(str(error)) from error
    raise typer.Exit(code)
