"""Sections of a report on made studies."""

import numpy as np

from jaxrl.report.summary import summarise
from tests.studies import made_study

NAN = np.nan
SLOW, FAST = "ppo learning_rate=0.0001", "ppo learning_rate=0.001"


def rng(seed=0):
    return np.random.default_rng(seed)


def noise(seed, mean, runs, sd=30.0):
    return rng(seed).normal(mean, sd, runs)


def pole(tmp_path, slow, fast=None, **options):
    """A made study of one or two learning rates."""
    groups = {1e-4: slow} if fast is None else {1e-4: slow, 1e-3: fast}
    return made_study(tmp_path, {("CartPole-v1", rate): scores for rate, scores in groups.items()}, **options)


def section_of(results, **options):
    (section,) = summarise(results, rng(), **options).sections
    return section
