"""jax's own switches: those that change bits are pinned, refused, or told in the manifest."""

import os
import subprocess
import sys

import jax
import pytest

from jaxrl import InputError, load, resume
from jaxrl.run.reproduce import replay
from jaxrl.store.provenance import DEFAULTS, SWITCHES, machine

# The engine sets the first two, and the third is refused.
PINNED = {"jax_default_matmul_precision", "jax_threefry_partitionable", "jax_enable_x64"}
# What the other switches of jax 0.10 and 0.11 choose; none of it changes a bit of a run.
MESSAGES = """jax_check_tracer_leaks jax_compiler_detailed_logging_min_ops jax_debug_log_modules
jax_captured_constants_report_frames jax_captured_constants_warn_bytes jax_distributed_debug jax_dump_ir_modes
jax_dump_ir_to jax_explain_cache_misses jax_hlo_source_file_canonicalization_regex jax_pprint_use_color
jax_include_debug_info_in_dumps jax_include_full_tracebacks_in_locations jax_log_checkpoint_residuals
jax_log_compiles jax_logging_level jax_pallas_verbose_errors jax_send_traceback_to_runtime
jax_source_url_schema jax_traceback_filtering jax_traceback_in_locations_limit
jax_tracer_error_num_traceback_frames"""
# They end a training with an error, or let it pass as it is.
CHECKS = """jax_allow_f16_reductions jax_array_garbage_collection_guard jax_check_proxy_envs
jax_check_static_indices jax_debug_infs jax_debug_key_reuse jax_debug_leaked_clients_on_clear_backends
jax_debug_nans jax_disable_bwd_checks jax_disable_vmap_shmap_error jax_disallow_mesh_context_manager
jax_enable_checks jax_enable_custom_prng jax_experimental_unsafe_xla_runtime_errors jax_legacy_prng_key
jax_mosaic_allow_hlo jax_mutable_array_checks jax_no_execution jax_no_tracing jax_numpy_dtype_promotion
jax_numpy_rank_promotion jax_pallas_enable_debug_checks jax_pallas_poison_buffers
jax_raise_on_ppermute_sort_diff jax_thread_guard jax_transfer_guard jax_transfer_guard_device_to_device
jax_transfer_guard_device_to_host jax_transfer_guard_host_to_device"""
# Which devices there are; the manifest holds the device itself.
DEVICES = """jax_backend_target jax_cpu_collectives_implementation jax_cpu_enable_async_dispatch
jax_cpu_get_global_topology_timeout_minutes jax_cpu_get_local_topology_timeout_minutes
jax_cross_host_transfer_socket_address jax_cross_host_transfer_timeout_seconds
jax_cross_host_transfer_transfer_size jax_cross_host_transport_addresses jax_cuda_visible_devices
jax_default_device jax_distributed_verify_secure_credentials jax_enable_preemption_service
jax_enable_recoverability jax_force_dcn_cross_host_transfers jax_mock_gpu_topology jax_mtls_ca_file
jax_mtls_cert_file jax_mtls_key_file jax_mtls_peer_uri_prefix jax_num_cpu_devices jax_oneapi_visible_devices
jax_platform_name jax_platforms jax_rocm_visible_devices jax_share_binary_between_hosts
jax_share_binary_between_hosts_timeout_ms jax_sort_devices_by_process_index jax_xla_backend
mock_num_gpu_processes"""
# Where compiled programs are kept, and how programs are written to files. No program is exported here.
FILES = """jax2tf_associative_scan_reductions jax2tf_default_native_serialization
jax_compilation_cache_check_contents jax_compilation_cache_dir jax_compilation_cache_expect_pgle
jax_compilation_cache_include_metadata_in_key jax_compilation_cache_max_size jax_enable_compilation_cache
jax_export_calling_convention_version jax_export_deserialize_expired_versions
jax_export_ignore_forward_compatibility jax_persistent_cache_enable_xla_caches
jax_persistent_cache_min_compile_time_secs jax_persistent_cache_min_entry_size_bytes
jax_raise_persistent_cache_errors jax_remove_custom_partitioning_ptr_from_cache_key
jax_serialization_version"""
# Types of arrays on several devices, integer code for one generator, and parts of jax that no run uses.
ELSEWHERE = """check_vma jax_auto_pcast jax_bcoo_cusparse_lowering jax_pallas_auto_assign_collective_ids
jax_pallas_auto_assign_collective_ids_limit jax_pgle_aggregation_percentile jax_pgle_profiling_runs
jax_remove_size_one_mesh_axis_from_type jax_threefry_gpu_kernel_lowering jax_use_cpp_shard_args
jax_use_emit_pipeline_primitive jax_use_rgv3"""
HARMLESS = {*" ".join((MESSAGES, CHECKS, DEVICES, FILES, ELSEWHERE)).split()}

TRAINING = """
import sys
from envs import GridWorld
from jaxrl import train
from jaxrl.algorithms import QLearning
settings = {"seeds": 2, "steps": 64, "evaluate_every": 64, "evaluation_episodes": 1, "width": 2}
train(QLearning(), GridWorld(), out=sys.argv[1], prng="threefry2x32", **settings)
"""


def trained(out, **variables):
    """A small study, trained by a fresh interpreter with these environment variables."""
    command = [sys.executable, "-c", TRAINING, str(out)]
    subprocess.run(command, env=os.environ | variables, check=True, capture_output=True, timeout=300)
    return load(out)


def test_every_switch_of_this_jax_is_decided_upon():
    """A newer jax may bring further ones."""
    assert {*jax.config.values} <= PINNED | HARMLESS | {*SWITCHES}
    assert not (PINNED | HARMLESS) & {*SWITCHES}


def test_a_manifest_holds_only_what_differs_from_the_defaults(monkeypatch):
    assert not {*DEFAULTS} & {*machine()}
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    jax.config.update("jax_optimization_level", "O1")
    try:
        found = machine()
    finally:
        jax.config.update("jax_optimization_level", SWITCHES["jax_optimization_level"])
    assert {name: found[name] for name in {*DEFAULTS} & {*found}} == {
        "NVIDIA_TF32_OVERRIDE": "0",
        "jax_optimization_level": "O1",
    }


def test_a_switch_that_changes_bits_is_named_and_not_mixed(tmp_path):
    results = trained(tmp_path / "offset", JAX_RANDOM_SEED_OFFSET="1")
    said = str(replay(results, 0))
    assert "which may be due to jax_random_seed_offset ('1' there, '0' here)" in said
    with pytest.raises(InputError, match=r"trained with jax_random_seed_offset '1', here it is '0'.*--force"):
        resume(results.path, steps=128)
    forced = resume(results.path, more_seeds=[7], force=True).manifest
    assert forced["resumed"][0]["differing"] == {"jax_random_seed_offset": ["1", "0"]}


def test_switches_that_are_pinned_change_no_bit(tmp_path):
    """Without the first, threefry2x32 draws other numbers, and without the second, a GPU multiplies others."""
    results = trained(
        tmp_path / "pinned", JAX_THREEFRY_PARTITIONABLE="0", JAX_DEFAULT_MATMUL_PRECISION="bfloat16"
    )
    assert replay(results, 1).first is None
