"""What a user may change. config.yaml first, then STROKE_* in the environment, then a command's flags."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)
from yaml import YAMLError

from core.labels import CLASSES, HEMORRHAGIC, ISCHEMIC
from core.preprocess import WINDOWS, InputSpec

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: where config.yaml and the bundle that ships with it live."""


class Limits(BaseModel):
    """What one uploaded file may cost, and how many scans a volume becomes."""

    model_config = ConfigDict(extra="forbid")

    megapixels: float = Field(16, gt=0)
    file_mb: float = Field(64, gt=0)
    volume_mb: float = Field(500, gt=0)
    zip_mb: float = Field(500, gt=0)
    seconds: float = Field(10, gt=0)
    memory_mb: float = Field(2048, ge=512)
    batch_size: int = Field(16, gt=0)
    slice_mm: float = Field(5, ge=0)

    @property
    def unpacked_mb(self) -> float:
        """What a volume may take once it is unpacked: its values lie there in four bytes, in a file often in two."""
        return 2 * self.volume_mb

    @property
    def upload_mb(self) -> float:
        """What a browser may send as one file, whatever it is."""
        return max(self.file_mb, self.volume_mb, self.zip_mb)


class ReviewSettings(BaseModel):
    """How readers meet the model."""

    model_config = ConfigDict(extra="forbid")

    blind_first: bool = False
    audit_share: float = Field(0.1, ge=0, le=1)


class Augmentation(BaseModel):
    """How training scans vary. Ranges, each drawn uniformly and independently per scan; all zero means no change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rotation: float = Field(12.0, ge=0, le=180, description="degrees, either way")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a left-right mirror")
    shift: float = Field(0.05, ge=0, le=0.5, description="share of the side, either way")
    scale: float = Field(0.08, ge=0, lt=1, description="share of the size, either way")
    contrast: float = Field(0.15, ge=0, lt=1, description="share of the grey range, either way")
    brightness: float = Field(0.05, ge=0, lt=1, description="share of full white, either way")
    elsewhere: float = Field(0.0, ge=0, le=1, description="share of scans made to look as if from another hospital")
    motion: float = Field(0.15, ge=0, le=1, description="share of those in which the head moved")
    smoothed: float = Field(0.0, ge=0, le=1, description="share of those smeared as displayed, as by thick slices")
    streaks: float = Field(0.1, ge=0, le=1, description="share of those with streaks")
    cupping: float = Field(0.0, ge=0, le=1, description="share of those whose brain is brighter or darker at the skull")
    narrow: float = Field(0.0, ge=0, le=1, description="share of those in a window a half to a third as wide")


class Simulation(BaseModel):
    """How simulated lesions take part in a training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_slice: int = Field(4, gt=0, description="lesions of each type per slice without a finding")
    hemorrhagic: float = Field(0.5, ge=0, lt=1, description="share of a stroke type's scans met that are simulated")
    massive: float = Field(
        0, ge=0, lt=1, description="share of the lesions that push the midline over, if there is room"
    )
    lookalikes: float = Field(0.35, ge=0, lt=1, description="share of the scans without stroke met that look like it")
    wide_ventricles: float = Field(0, ge=0, lt=1, description="share of these, where ventricles show, with wide ones")
    outline: float = Field(1.0, ge=0, description="weight of the lesions' outlines beside their class")
    balance: float = Field(16.0, gt=0, description="how much more a place with a lesion weighs than one without")


class LastStage(BaseModel):
    """Epochs after the end of a training, from what it has learned: what is hard is met last (Bengio et al., ICML
    2009), on a schedule of its own (warm restart: Loshchilov & Hutter, ICLR 2017)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(12, gt=0)
    learning_rate: float = Field(1e-3, gt=0)
    augmentation: Augmentation | None = None  # None: as before


class Recipe(BaseModel):
    """All that decides what a training run does with given scans. Travels in the bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arch: str = "stroke_cnn"
    width: int = Field(32, ge=8, le=256)
    weights: Literal["none", "imagenet"] | Path = "none"
    head: Literal["mean", "strongest"] = "mean"
    intensity: Literal["window", "image", "brain"] = "window"
    upright: bool = False
    mirror: bool = False
    image_size: int = Field(128, ge=32, le=1024)
    first_size: int | None = Field(None, ge=32, le=1024, description="pixels a side of what the first epochs show")
    first_share: float = Field(0.7, ge=0, le=1, description="of the epochs that show `first_size`")
    window: tuple[float, Annotated[float, Field(gt=0)]] = WINDOWS["Brain"]
    crop: Literal["none", "head"] = "none"
    epochs: int = Field(60, gt=0)
    batch_size: int = Field(32, gt=0)
    optimizer: Literal["adam", "adamw", "muon"] = "adamw"
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    scheduler: Literal["onecycle", "cosine", "plateau"] = "onecycle"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    patience: int = Field(20, gt=0)
    keep: Literal["best", "last"] = "best"
    seed: int = 0
    augmentation: Augmentation = Augmentation()
    simulation: Simulation | None = None
    last_stage: LastStage | None = None

    @property
    def stages(self) -> tuple["Recipe", ...]:
        """What is trained one after the other, each from what the one before has learned."""
        if self.last_stage is None:
            return (self,)
        whole = self.model_copy(update={"last_stage": None})
        named = {name: value for name, value in self.last_stage if value is not None}
        return whole, whole.model_copy(update={"first_size": None, **named})

    def size_in(self, epoch: int) -> int:
        """Pixels a side of what an epoch (from 1) shows. Beginning with smaller images and ending with the size that is
        read later takes less time and fits the scale of what is read (Touvron et al., NeurIPS 2019)."""
        early = self.first_size is not None and epoch <= self.first_share * self.epochs
        return min(self.first_size or self.image_size, self.image_size) if early else self.image_size

    @property
    def input_spec(self) -> InputSpec:
        """How a network trained by this recipe is fed."""
        return InputSpec(size=self.image_size, window=self.window, crop=self.crop)


class CalibrationSettings(BaseModel):
    """What is asked of a model's answers; the thresholds that give it are found on validation scans."""

    model_config = ConfigDict(extra="forbid")

    error_rate: float = Field(0.05, gt=0, lt=1)
    sensitivity: dict[str, Annotated[float, Field(gt=0, le=1)]] = {HEMORRHAGIC: 0.95, ISCHEMIC: 0.95}
    false_flags: float = Field(0.03, gt=0, lt=1)

    @field_validator("sensitivity")
    @classmethod
    def _of_known_classes(cls, asked: dict[str, float]) -> dict[str, float]:
        if unknown := asked.keys() - set(CLASSES):
            raise ValueError(f"{', '.join(sorted(unknown))} must be one of {', '.join(CLASSES)}")
        return asked


class RetrainSettings(BaseModel):
    """When a candidate may replace the champion."""

    model_config = ConfigDict(extra="forbid")

    min_scans: int = Field(20, gt=0)
    min_test_scans: int = Field(5, gt=0)
    min_test_patients: int = Field(5, gt=0)
    epochs: int = Field(20, gt=0)
    learning_rate: float = Field(1e-3, gt=0)
    margin: float = Field(0.0, ge=0, le=1)
    min_answered: float = Field(0.5, ge=0, le=1)


NO_SETTINGS = frozenset({"STROKE_TEST_DATA", "STROKE_TEST_POSTGRESQL"})
"""What begins as settings in the environment do, and is none: where tests find real scans, and a server."""
_WHERE = "in config.yaml, or in the environment (STROKE_...)."


class BadSettings(ValueError):
    """config.yaml or the environment says what makes no sense; the message says where."""


class Settings(BaseSettings):
    """Where everything lives and how it behaves. `STROKE_HOME`, `STROKE_TRAINING__EPOCHS` and the like override.

    Raises BadSettings.
    """

    model_config = SettingsConfigDict(
        env_prefix="STROKE_",
        env_nested_delimiter="__",
        env_ignore_empty=True,  # a variable that is set to nothing is not set
        yaml_file=ROOT / "config.yaml",
        extra="forbid",
    )

    home: Path = ROOT / "var"
    database_url: str = ""
    limits: Limits = Limits()
    review: ReviewSettings = ReviewSettings()
    training: Recipe = Recipe()
    calibration: CalibrationSettings = CalibrationSettings()
    retrain: RetrainSettings = RetrainSettings()

    def __init__(self, **values: Any) -> None:
        known = {f"STROKE_{name}".upper() for name in type(self).model_fields} | NO_SETTINGS
        for name in os.environ:
            if name.upper().startswith("STROKE_") and name.upper().split("__")[0] not in known:
                raise BadSettings(f"There is no setting {name}. Correct it: parts are joined by two underscores.")
        try:
            super().__init__(**values)
        except ValidationError as error:
            what = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise BadSettings(f"A setting makes no sense: {what}. Correct it {_WHERE}") from error
        except (SettingsError, YAMLError) as error:
            raise BadSettings(
                f"The settings cannot be read: {' '.join(str(error).split())}. Correct them {_WHERE}"
            ) from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)

    @property
    def home_dir(self) -> Path:
        """`home`, made absolute: a relative one is taken from the checkout."""
        home = self.home.expanduser()
        return home if home.is_absolute() else ROOT / home

    @property
    def url(self) -> str:
        """The case log's SQLAlchemy URL; a relative file of SQLite's is taken from the checkout, as `home` is, wherever
        a command is called from."""
        if not self.database_url:
            return f"sqlite:///{self.home_dir / 'second_read.sqlite'}"
        kind, _, place = self.database_url.partition(":///")
        relative = kind.startswith("sqlite") and place and not place.startswith(("/", ":memory:", "file:"))
        return f"{kind}:///{ROOT / place}" if relative else self.database_url

    @property
    def key_file(self) -> Path:
        """The secret behind the patients' pseudonyms."""
        return self.home_dir / "patient.key"

    @property
    def models_dir(self) -> Path:
        return self.home_dir / "models"

    @property
    def images_dir(self) -> Path:
        return self.home_dir / "images"

    @property
    def training_dir(self) -> Path:
        return self.home_dir / "training"
