"""Stable-Baselines3's side: `learn`, one seed, one thread."""

from typing import Any

import torch  # type: ignore[import-not-found]
from stable_baselines3 import DQN, PPO, SAC  # type: ignore[import-not-found]
from stable_baselines3.common.env_util import make_vec_env  # type: ignore[import-not-found]

from benchmarks.peers.work import Settings, Trainer, run_worker, steps_per_iteration


class Model(Trainer):
    def __init__(self, work: str, settings: Settings, seeds: int) -> None:
        if seeds != 1:
            raise ValueError(f"Stable-Baselines3 trains one seed, got {seeds}")
        torch.set_num_threads(1)
        name, environment = work.split()
        env = make_vec_env(environment, settings["num_envs"], seed=0)
        common = {
            "learning_rate": settings["learning_rate"],
            "gamma": settings["discount"],
            "policy_kwargs": {"net_arch": list(settings["hidden"])},
            "device": "cpu",
            "seed": 0,
        }
        self.model = {"ppo": ppo, "dqn": dqn, "sac": sac}[name](env, settings, common)
        self.steps = steps_per_iteration(settings)

    def advance(self, iterations: int) -> None:
        if iterations:
            self.model.learn(iterations * self.steps, log_interval=None, reset_num_timesteps=False)

    def updates(self) -> int:
        trained = getattr(self.model, "critic", self.model.policy)
        adam = trained.optimizer.state.values()
        return max((int(state["step"]) for state in adam), default=0)


def ppo(env: Any, settings: Settings, common: dict[str, Any]) -> Any:
    return PPO(
        "MlpPolicy",
        env,
        n_steps=settings["num_steps"],
        batch_size=steps_per_iteration(settings) // settings["minibatches"],
        n_epochs=settings["epochs"],
        gae_lambda=settings["gae_lambda"],
        clip_range=settings["clip"],
        clip_range_vf=settings["clip"],
        ent_coef=settings["entropy_coefficient"],
        vf_coef=settings["value_coefficient"],
        max_grad_norm=settings["max_grad_norm"],
        **common,
    )


def dqn(env: Any, settings: Settings, common: dict[str, Any]) -> Any:
    return DQN(
        "MlpPolicy",
        env,
        **off_policy(settings),
        target_update_interval=settings["target_period"],
        max_grad_norm=settings["max_grad_norm"],
        exploration_initial_eps=settings["epsilon"],
        exploration_final_eps=settings["epsilon"],
        **common,
    )


def sac(env: Any, settings: Settings, common: dict[str, Any]) -> Any:
    return SAC("MlpPolicy", env, **off_policy(settings), tau=settings["target_rate"], **common)


def off_policy(settings: Settings) -> dict[str, Any]:
    """Replay, and updates after each step of all environments."""
    return {
        "buffer_size": settings["capacity"],
        "learning_starts": settings["capacity"],
        "batch_size": settings["batch_size"],
        "train_freq": settings["num_steps"],
        "gradient_steps": settings["updates"],
    }


if __name__ == "__main__":
    run_worker(Model, ("stable-baselines3", "torch", "gymnasium", "numpy"))
