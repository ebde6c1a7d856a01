"""Do the algorithms learn what they should? 64 agents each, then one report.

python experiments/quickstart.py
"""

from envs import CartPole, FrozenLake, GridWorld
from jaxrl import enable_compilation_cache, train, write_report
from jaxrl.algorithms import PPO, QLearning

FOLDER = "runs/quickstart"


def main() -> None:
    enable_compilation_cache()
    studies = [
        train(
            QLearning(),
            GridWorld(),
            seeds=64,
            steps=5_000,
            eval_episodes=1,  # nothing is random once the policy is greedy
            out=f"{FOLDER}/gridworld",
        ),
        train(
            # On ice the outcome of an action is random: a shrinking step size averages over it.
            QLearning(learning_rate_end=0.001, epsilon_end=0.1),
            FrozenLake(),
            seeds=64,
            steps=200_000,
            points=20,
            eval_episodes=400,  # enough to tell 0.74, the best there is, from 0.70, Gymnasium's threshold
            out=f"{FOLDER}/frozenlake",
        ),
        train(
            PPO(),
            CartPole(),
            seeds=64,
            steps=125_000,
            points=25,
            out=f"{FOLDER}/cartpole",
        ),
    ]
    for results in studies:
        final = results.metric("eval_return").iloc[:, -1]
        print(f"{results.path}: mean return {final.mean():.3f} over {len(final)} seeds")
    print(f"report: {write_report(FOLDER)}")


if __name__ == "__main__":
    main()
