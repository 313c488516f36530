"""The application on boards: run where it can be, and compiled against the declarations that each ecosystem documents.

Zephyr's tree, ESP-IDF and Arduino's cores are no packages: their headers are stood in for by the few declarations that
the skeletons use, so that a misspelt member or argument is found here, and what the libraries do is not.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.firmware.build import board_options
from tinyfuse.firmware.c_text import export_folder
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.toolchain import STRICT, cross_compiler, host_compiler, run

ARDUINO = {
    "Arduino.h": "#include <stdint.h>\n#include <stddef.h>\nstruct Port { void begin(long); void println(const char *);"
                 " size_t write(uint8_t); };\nextern Port Serial;\n",
    "PDM.h": "struct Microphone { int begin(int channels, long rate); int read(void *to, size_t bytes);"
             " void onReceive(void (*)(void)); };\nextern Microphone PDM;\n",
    "Arduino_OV767X.h": "enum { VGA, CIF, QVGA, QCIF, QQVGA };\nenum { YUV422, RGB444, RGB565, GRAYSCALE = 4 };\n"
                        "struct Eye { int begin(int resolution, int format, int rate); void readFrame(void *); };\n"
                        "extern Eye Camera;\n"}
ZEPHYR = {
    "zephyr/device.h": "#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n"
                       "struct device { int x; };\nextern const struct device some_device;\n"
                       "#define DEVICE_DT_GET(node) (&some_device)\n#define DT_NODELABEL(label) 0\n"
                       "#define DT_CHOSEN(property) 0\nbool device_is_ready(const struct device *device);\n",
    "zephyr/kernel.h": "typedef struct { long ticks; } k_timeout_t;\nstruct k_mem_slab { int x; };\n"
                       "#define K_MSEC(ms) ((k_timeout_t){ms})\n#define K_NO_WAIT ((k_timeout_t){0})\n"
                       "#define K_MEM_SLAB_DEFINE_STATIC(name, size, count, align) static struct k_mem_slab name\n"
                       "void k_mem_slab_free(struct k_mem_slab *slab, void *block);\n",
    "zephyr/sys/printk.h": "void printk(const char *format, ...);\n",
    "zephyr/audio/dmic.h":
        "enum dmic_trigger { DMIC_TRIGGER_STOP, DMIC_TRIGGER_START };\nenum pdm_lr { PDM_CHAN_LEFT, PDM_CHAN_RIGHT };\n"
        "struct pcm_stream_cfg { uint32_t pcm_rate; uint8_t pcm_width; uint16_t block_size; struct k_mem_slab *mem_slab"
        "; };\nstruct dmic_cfg { struct { uint32_t min_pdm_clk_freq, max_pdm_clk_freq; uint8_t min_pdm_clk_dc,"
        " max_pdm_clk_dc; } io; struct pcm_stream_cfg *streams; struct { uint32_t req_chan_map_lo, req_chan_map_hi;"
        " uint8_t req_num_chan, req_num_streams; } channel; };\n"
        "int dmic_configure(const struct device *device, struct dmic_cfg *wanted);\n"
        "int dmic_trigger(const struct device *device, enum dmic_trigger what);\n"
        "int dmic_read(const struct device *device, uint8_t stream, void **buffer, uint32_t *size, int32_t timeout);\n"
        "uint32_t dmic_build_channel_map(uint8_t channel, uint8_t pdm, enum pdm_lr side);\n",
    "zephyr/drivers/video.h":
        "enum video_buf_type { VIDEO_BUF_TYPE_INPUT, VIDEO_BUF_TYPE_OUTPUT };\n"
        "enum { VIDEO_PIX_FMT_GREY, VIDEO_PIX_FMT_RGB565 };\n"
        "struct video_format { enum video_buf_type type; uint32_t pixelformat, width, height, pitch, size; };\n"
        "struct video_buffer { enum video_buf_type type; uint8_t *buffer; uint32_t size, bytesused; };\n"
        "int video_set_format(const struct device *device, struct video_format *format);\n"
        "int video_enqueue(const struct device *device, struct video_buffer *buffer);\n"
        "int video_dequeue(const struct device *device, struct video_buffer **buffer, k_timeout_t timeout);\n"
        "int video_stream_start(const struct device *device, enum video_buf_type type);\n"
        "struct video_buffer *video_buffer_alloc(size_t size, k_timeout_t timeout);\n"}
ESP_IDF = {
    "driver/i2s_std.h":
        "#include <stddef.h>\n#include <stdint.h>\ntypedef int esp_err_t;\n#define ESP_OK 0\n"
        "typedef struct i2s_channel *i2s_chan_handle_t;\ntypedef struct { int id, role; } i2s_chan_config_t;\n"
        "typedef struct { uint32_t rate; } i2s_std_clk_config_t;\ntypedef struct { int bits, mode; } slot_t;\n"
        "typedef struct { i2s_std_clk_config_t clk_cfg; slot_t slot_cfg; struct { int mclk, bclk, ws, dout, din; }"
        " gpio_cfg; } i2s_std_config_t;\n"
        "enum { I2S_NUM_AUTO, I2S_ROLE_MASTER, I2S_DATA_BIT_WIDTH_16BIT, I2S_SLOT_MODE_MONO, I2S_GPIO_UNUSED = -1 };\n"
        "#define I2S_CHANNEL_DEFAULT_CONFIG(number, role) {number, role}\n"
        "#define I2S_STD_CLK_DEFAULT_CONFIG(rate) {rate}\n"
        "#define I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(bits, mode) {bits, mode}\n"
        "esp_err_t i2s_new_channel(const i2s_chan_config_t *, i2s_chan_handle_t *sent, i2s_chan_handle_t *received);\n"
        "esp_err_t i2s_channel_init_std_mode(i2s_chan_handle_t, const i2s_std_config_t *);\n"
        "esp_err_t i2s_channel_enable(i2s_chan_handle_t);\n"
        "esp_err_t i2s_channel_read(i2s_chan_handle_t, void *to, size_t size, size_t *bytes, uint32_t timeout_ms);\n",
    "esp_camera.h":
        "typedef enum { PIXFORMAT_RGB565, PIXFORMAT_GRAYSCALE } pixformat_t;\n"
        "typedef enum { FRAMESIZE_96X96, FRAMESIZE_QQVGA } framesize_t;\n"
        "typedef enum { CAMERA_GRAB_WHEN_EMPTY } grab_t;\n"
        "typedef struct { int pin_xclk, pin_d0; int xclk_freq_hz; pixformat_t pixel_format; framesize_t frame_size;"
        " size_t fb_count; grab_t grab_mode; } camera_config_t;\n"
        "typedef struct { uint8_t *buf; size_t len, width, height; pixformat_t format; } camera_fb_t;\n"
        "esp_err_t esp_camera_init(const camera_config_t *);\ncamera_fb_t *esp_camera_fb_get(void);\n"
        "void esp_camera_fb_return(camera_fb_t *);\nvoid app_main(void);\n"}


@pytest.fixture
def package(listening_package: Path) -> Path:
    return listening_package


def headers(folder: Path, found: dict[str, str]) -> Path:
    for path, text in found.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"#pragma once\n{text}")
    return folder


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++ on PATH")
@pytest.mark.parametrize("name", ["arduino", "zephyr", "esp_idf"])
def test_the_skeletons_compile_against_the_documented_declarations(name: str, package: Path, tmp_path: Path) -> None:
    app = package / "examples" / "live"
    given = {"arduino": ARDUINO, "zephyr": ZEPHYR, "esp_idf": ESP_IDF}[name]
    source, command = {
        "arduino": (app / "live.ino", ["g++", "-x", "c++", "-std=gnu++17", "-include", "Arduino.h"]),
        "zephyr": (app / "zephyr" / "src" / "main.c", ["gcc", "-std=gnu17"]),
        "esp_idf": (app / "esp_idf" / "main" / "main.c", ["gcc", "-std=gnu17",
                                                          "-DLIVE_CAMERA_PINS=.pin_xclk = 10, .pin_d0 = 15"])}[name]
    run([*command, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{headers(tmp_path, given)}",
         f"-I{package / 'src'}", f"-I{app}", str(source)])


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no arm-none-eabi-gcc on PATH")
@pytest.mark.parametrize("settings", [(), ("-DLIVE_EACH=0", "-DLIVE_VOTES=1", "-DLIVE_THRESHOLD=0")])
def test_no_warning_with_other_settings(settings: tuple[str, ...], package: Path, tmp_path: Path) -> None:
    app = package / "examples" / "live"
    careful = [*STRICT, "-Wpedantic", "-Wshadow", "-Wcast-align", *settings]
    cross_compiler("arm-none-eabi-gcc").compile(CORES["m0+"], app / "live.c", tmp_path / "live.o", [
        *careful, "-O2", f"-I{package / 'src'}", f"-I{app}"])


@pytest.mark.skipif(not shutil.which("cppcheck"), reason="no cppcheck on PATH")
def test_cppcheck_finds_nothing(package: Path) -> None:
    app = package / "examples" / "live"
    found = subprocess.run(["cppcheck", "--quiet", "--std=c99", "--enable=warning,performance,portability",
                            "--max-configs=1", "--suppress=toomanyconfigs", f"-I{package / 'src'}", f"-I{app}",
                            str(app / "live.c")], capture_output=True, text=True, check=True)
    assert not found.stderr.strip(), found.stderr


def test_esp_idfs_component_manager_reads_its_manifest(package: Path) -> None:
    manager = pytest.importorskip("idf_component_tools.manager", reason="idf-component-manager is not here")
    folder = package / "examples" / "live" / "esp_idf" / "main"
    assert manager.ManifestManager(str(folder), name="main").validation_errors == []


@pytest.mark.skipif(not (shutil.which("cmake") and host_compiler()), reason="no cmake or no C compiler on PATH")
def test_on_a_machine_with_a_console_it_hears_standard_input(package: Path, tmp_path: Path) -> None:
    run(["cmake", "-S", str(package / "examples" / "live"), "-B", str(tmp_path),
         "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror -O0"])
    run(["cmake", "--build", str(tmp_path)])
    sound = np.random.default_rng(0).normal(0, 3000, 5 * 2000 + 7).astype("<i2")
    done = subprocess.run([tmp_path / "net_live"], input=sound.tobytes(), capture_output=True, check=True)
    lines = done.stdout.decode().split("\r\n")
    assert len(lines) == 6 and lines[0] == "0: ? 0.0%, now ? 0.0%; image missing; audio waiting"
    assert "image missing; audio heard" in lines[4] and lines[5] == ""


@pytest.mark.skipif(not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
                    reason="no arm-none-eabi-gcc or qemu-system-arm on PATH")
def test_without_an_operating_system_it_prints_over_the_serial_port(package: Path, tmp_path: Path) -> None:
    core, harness, app = CORES["m4"], export_folder("harness"), package / "examples" / "live"
    cross, flags = cross_compiler("arm-none-eabi-gcc"), ["-O1", f"-I{package / 'src'}", f"-I{app}"]
    objects = [cross.compile(core, source, tmp_path / f"{source.stem}.o", [*STRICT, *flags]) for source in (
        app / "bare_metal" / "main.c", app / "live.c", package / "src" / "net.c", package / "src" / "net_frontend.c")]
    objects.append(cross.compile(core, harness / "start.c", tmp_path / "start.o",
                                 ["-std=gnu11", "-O1", *board_options(core)]))
    elf = cross.link(core, objects, harness / "core.ld", tmp_path / "live.elf")
    board = subprocess.Popen(
        ["qemu-system-arm", "-M", core.machine, "-display", "none", "-monitor", "none", "-nodefaults", "-serial",
         "stdio", "-kernel", str(elf)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert board.stdout is not None
    found = [board.stdout.readline() for _ in range(2)]
    board.kill()
    board.wait()
    board.stdout.close()
    assert found == [b"%d: ? 0.0%%, now ? 0.0%%; image missing; audio missing\r\n" % number for number in (0, 1)]
