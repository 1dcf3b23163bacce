// What `plan` says of the released models, of directories, and of machines that are too small.

#include "app/plan.h"

#include <doctest/doctest.h>

#include "app/size.h"
#include "core/base/json.h"
#include "core/base/strings.h"
#include "core/model/store_layout.h"
#include "kernels/gpu.h"
#include "offload/replay.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

Inspection model_of(const Path& named) {
    auto model = plan_model(named);
    REQUIRE_MESSAGE(model.ok(), (model.ok() ? "" : model.error().message));
    return *std::move(model);
}

PlanMachine workstation(uint64_t ram_gibibytes) {
    PlanMachine machine;
    machine.ram_bytes = ram_gibibytes << 30;
    machine.ram_source = "given";
    machine.memory = {52e9, "given"};
    machine.drive = {7e9, "given"};
    machine.macs = {500e9, "given"};
    return machine;
}

Plan plan_of(const PlanOptions& options, const Path& named, uint64_t ram_gibibytes) {
    auto plan = make_plan(options, model_of(named), workstation(ram_gibibytes));
    REQUIRE_MESSAGE(plan.ok(), (plan.ok() ? "" : plan.error().message));
    return *std::move(plan);
}

PlanMachine with_gpu(uint64_t ram_gibibytes, uint64_t vram_gibibytes) {
    PlanMachine machine = workstation(ram_gibibytes);
    machine.gpu = PlanGpu{.name = "",
                          .memory_bytes = vram_gibibytes << 30,
                          .memory_source = "given",
                          .vram = {1008e9, "given"},
                          .pcie = {25e9, "given"},
                          .macs = {82e12, "given"}};
    return machine;
}

Plan gpu_plan_of(const PlanOptions& options, const Path& named, const PlanMachine& machine) {
    auto plan = make_plan(options, model_of(named), machine);
    REQUIRE_MESSAGE(plan.ok(), (plan.ok() ? "" : plan.error().message));
    REQUIRE(plan->gpu);
    return *std::move(plan);
}

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("the released checkpoints have exactly the tensors and bytes that their indexes say") {
    const auto check = [](const char* name, int64_t tensors, uint64_t bytes) {
        CAPTURE(name);
        const Inspection model = model_of(name);
        CHECK(model.complete.tensors == tensors);
        CHECK(model.complete.bytes == bytes);
    };
    check("flash", 69'187, 159'609'485'896);
    check("flash-0731", 72'317, 166'878'536'440);
    check("pro", 145'116, 864'704'792'696);
    check("pro-0813", 149'782, 892'727'580'904);
}

TEST_CASE("Flash on 64 GiB: everything has its place, and the places add up") {
    const Plan plan = plan_of({}, "flash", 64);
    CHECK(plan.model.release == "DeepSeek-V4-Flash");
    CHECK(plan.work.expert_bytes == 13'369'344);
    CHECK(plan.drive_bytes == 159'609'485'896);
    CHECK(plan.memory.dense_bytes + plan.memory.table_bytes == 9'017'195'080);
    CHECK(plan.memory.table_bytes == 129'280 * (4096 * 2 + 3 * 6 * 8));
    CHECK(plan.memory.experts_total == 44 * 256);
    CHECK(plan.memory.total_bytes() + plan.system_bytes <= plan.machine.ram_bytes);
    // One more slot would not fit.
    CHECK(plan.memory.total_bytes() + plan.system_bytes + plan.work.expert_bytes + 2 * 4096 >
          plan.machine.ram_bytes);
    CHECK(plan.decode.hit_rate > 0.75);
    CHECK(plan.decode.hit_rate < 0.86);
    const std::string text = plan.text();
    CHECK(contains(text, "11264 experts of 13.37 MB"));
    CHECK(contains(text, "159.6 GB"));
    CHECK(contains(text, "What would help"));
    const auto json = Json::parse(plan.json());
    REQUIRE(json.ok());
    CHECK(json->find("checkpoint_bytes")->as_int() == 159'609'485'896);
    CHECK(json->find("slots")->as_int() == plan.memory.expert_slots);
}

TEST_CASE("more memory, a faster drive and fewer bits all help, and the advice says by how much") {
    const Plan plan = plan_of({}, "pro", 128);
    const auto advised = [&](std::string_view change) {
        for (const Advice& advice : plan.advice) {
            if (advice.change.starts_with(change)) return advice.decode;
        }
        FAIL("no such advice");
        return 0.0;
    };
    const double now = plan.decode.tokens_per_second();
    CHECK(advised("twice the memory") == plan_of({}, "pro", 256).decode.tokens_per_second());
    CHECK(advised("twice the memory") > now);
    CHECK(advised("a drive twice as fast") > now);
    CHECK(advised("experts as q3s") > now);
    CHECK(advised("experts as q2v") > advised("experts as q3s"));
    for (size_t i = 1; i < plan.advice.size(); ++i) {
        CHECK(plan.advice[i - 1].decode >= plan.advice[i].decode);
    }
    // What everything fits into needs no more of it.
    for (const Advice& advice : plan_of({}, "flash", 512).advice) {
        CHECK(advice.change != "twice the memory");
        CHECK(advice.change != "a drive twice as fast");
    }
}

TEST_CASE(
    "too little memory is refused with what would do: that does, and a little less does not") {
    for (const Path& named : {Path("flash"), Path("pro"), test::demo_checkpoint()}) {
        CAPTURE(named.string());
        PlanMachine machine = workstation(0);
        const auto refused = make_plan({}, model_of(named), machine);
        REQUIRE_FALSE(refused.ok());
        CHECK(refused.error().code == ErrorCode::kCapacity);
        const std::string& message = refused.error().message;
        const size_t at = message.find("it needs ");
        REQUIRE(at != std::string::npos);
        const uint64_t mebibytes = std::stoull(message.substr(at + 9));
        machine.ram_bytes = mebibytes << 20;
        CHECK(make_plan({}, model_of(named), machine).ok());
        machine.ram_bytes = (mebibytes - 2) << 20;
        CHECK_FALSE(make_plan({}, model_of(named), machine).ok());
    }
}

TEST_CASE("a given hit rate holds for advice that changes nothing in memory, and for no other") {
    PlanOptions options;
    options.hit_rate = 0.99;
    const Plan plan = plan_of(options, "flash", 24);
    for (const Advice& advice : plan.advice) {
        CAPTURE(advice.change);
        if (advice.change.starts_with("a drive") || advice.change.starts_with("memory")) {
            CHECK(advice.decode >= plan.decode.tokens_per_second());
        }
        if (advice.change == "twice the memory") {
            CHECK(advice.decode == plan_of({}, "flash", 48).decode.tokens_per_second());
        }
    }
    // Experts in a store's formats have the sizes of its records.
    options.experts = "q2s";
    CHECK(plan_of(options, "flash", 24).work.expert_bytes ==
          record_layout(*expert_format_of("q2s"), {4096, 2048}).bytes);
}

TEST_CASE("a directory with a config alone, a whole checkpoint, and neither") {
    const test::TempDirectory place;
    const std::string config =
        *read_text_file(Path(MILLRACE_RELEASES_DIR) / "flash.json", uint64_t{1} << 20);
    REQUIRE(write_file(place.path() / "config.json", config).ok());
    CHECK(model_of(place.path()).complete.bytes == 159'609'485'896);
    const Inspection demo = model_of(test::demo_checkpoint());
    CHECK(demo.missing.empty());
    CHECK(plan_of({}, test::demo_checkpoint(), 1).memory.expert_slots == 6 * 32);

    const auto unknown = plan_model("flash-9999");
    REQUIRE_FALSE(unknown.ok());
    CHECK(contains(unknown.error().message, "flash, flash-0731, pro, pro-0813"));
    CHECK_FALSE(plan_model("../demo").ok());
    REQUIRE(write_file(place.path() / "config.json", std::string_view("{")).ok());
    CHECK_FALSE(plan_model(place.path()).ok());
}

TEST_CASE("a trace of the model tells the hit rate; one of another model is refused") {
    const test::TempDirectory place;
    PlanOptions options;
    options.trace = place.path() / "trace";
    const auto write = [&](const SyntheticTrace& shape) {
        const std::vector<std::byte> bytes = make_trace(shape).file();
        REQUIRE(write_file(options.trace, bytes).ok());
    };
    write({.layers = 43, .experts = 256, .tokens = 60});
    const Plan plan = plan_of(options, "flash", 64);
    const ReplayCounts counts =
        replay(make_trace({.layers = 43, .experts = 256, .tokens = 60}), ReplayPolicy::kMillrace,
               static_cast<int32_t>(plan.work.resident_share() * 43 * 256 + 0.5));
    CHECK(plan.decode.hit_rate == doctest::Approx(1 - static_cast<double>(counts.misses) /
                                                          static_cast<double>(counts.asked)));
    CHECK(contains(plan.hit_source, "in the trace"));
    CHECK_FALSE(make_plan(options, model_of("pro"), workstation(128)).ok());
    REQUIRE(write_file(options.trace, std::string_view("no trace")).ok());
    CHECK_FALSE(make_plan(options, model_of("flash"), workstation(64)).ok());
    options.hit_rate = 0.5;
    write({.layers = 43, .experts = 256, .tokens = 2});
    CHECK(plan_of(options, "flash", 64).decode.hit_rate == 0.5);
}

TEST_CASE("Flash with a GPU: what lies where, and that all of it adds up") {
    const Plan plan = gpu_plan_of({}, "flash", with_gpu(64, 24));
    const PlanGpuPart& gpu = *plan.gpu;
    CHECK(plan.memory.on_gpu);
    const uint64_t taken = plan.memory.gpu_bytes() + gpu.kept_bytes;
    CHECK(taken <= plan.machine.gpu->memory_bytes);
    CHECK(taken + gpu.slot_bytes > plan.machine.gpu->memory_bytes);
    CHECK(gpu.slots == staying_slots(plan.memory.gpu_slots, 44 * 256));
    CHECK(gpu.slot_bytes == 13'369'344);
    // What is in VRAM needs no RAM: more experts are in memory than without the GPU.
    const Plan alone = plan_of({}, "flash", 64);
    CHECK(plan.memory.expert_slots > alone.memory.expert_slots);
    CHECK(plan.memory.host_bytes() + plan.system_bytes <= plan.machine.ram_bytes);
    CHECK(gpu.tiers.experts == 43 * 256);
    CHECK(gpu.tiers.vram == gpu.slots);
    CHECK(gpu.tiers.ram == plan.memory.expert_slots);

    const TierHits& hits = gpu.decode.hits;
    CHECK(hits.vram == doctest::Approx(usual_hit_rate(gpu.slots / (43.0 * 256))));
    CHECK(hits.vram + hits.ram ==
          doctest::Approx(usual_hit_rate((gpu.slots + plan.memory.expert_slots) / (43.0 * 256))));
    CHECK(hits.vram + hits.ram + hits.drive == doctest::Approx(1));
    CHECK(gpu.decode.way == HostExperts::kComputed);
    CHECK(plan.decode_rate() == gpu.decode.tokens_per_second());
    CHECK(plan.decode_rate() > alone.decode_rate());
    CHECK(plan.prefill_rate() > alone.prefill_rate());

    double token = 0;
    for (const PlanTerm& term : plan.decode_terms()) token += term.counts ? term.seconds : 0;
    CHECK(token == doctest::Approx(gpu.decode.seconds()));
    const std::string text = plan.text();
    for (const char* part : {"in VRAM", "1008.0 GB/s", "25.0 GB/s", "computed by the processor",
                             "found in VRAM", "launches and trips", "twice the VRAM"}) {
        CAPTURE(part);
        CHECK(contains(text, part));
    }
    const auto json = Json::parse(plan.json());
    REQUIRE(json.ok());
    CHECK(json->find("vram_slots")->as_int() == gpu.slots);
    CHECK(json->find("vram_hits")->as_double() == hits.vram);
    CHECK(json->find("decode_tokens_per_second")->as_double() ==
          doctest::Approx(plan.decode_rate()));
    CHECK(*json->find("ram_experts")->as_string() == "computed");
    CHECK(Json::parse(alone.json())->find("vram_slots") == nullptr);
}

TEST_CASE("a GPU that holds everything leaves nothing to RAM and the drive") {
    const Plan plan = gpu_plan_of({}, "flash", with_gpu(64, 192));
    CHECK(plan.gpu->slots == 44 * 256);
    CHECK(plan.gpu->decode.hits.vram == 1);
    CHECK(plan.gpu->decode.missing == 0);
    CHECK(plan.gpu->prefill.missing == 0);
    for (const Advice& advice : plan.advice) {
        CHECK(advice.change != "twice the memory");
        CHECK(advice.change != "a drive twice as fast");
        CHECK(advice.change != "twice the VRAM");
    }
}

TEST_CASE(
    "experts in RAM are copied where PCIe is as fast as the processor, and the text says so") {
    PlanMachine machine = with_gpu(64, 24);
    machine.memory.value = 25e9;
    const Plan plan = gpu_plan_of({}, "flash", machine);
    CHECK(plan.gpu->decode.way == HostExperts::kCopied);
    CHECK(contains(plan.text(), "copied to the GPU: no slower"));
    CHECK(contains(plan.json(), "\"ram_experts\":\"copied\""));
}

TEST_CASE("a given hit rate is that of VRAM and RAM together") {
    PlanOptions options;
    options.hit_rate = 0.9;
    const Plan plan = gpu_plan_of(options, "flash", with_gpu(32, 24));
    const TierHits& hits = plan.gpu->decode.hits;
    CHECK(hits.drive == doctest::Approx(0.1));
    const double usual =
        usual_hit_rate((plan.gpu->tiers.vram + plan.gpu->tiers.ram) / (43.0 * 256));
    CHECK(hits.vram ==
          doctest::Approx(0.9 * usual_hit_rate(plan.gpu->slots / (43.0 * 256)) / usual));
    CHECK(plan.hit_source == "given");
}

TEST_CASE("a dense part that does not fit the GPU is one sentence with what would do") {
    const auto refused = make_plan({}, model_of("pro"), with_gpu(128, 24));
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kCapacity);
    const std::string& message = refused.error().message;
    CHECK(contains(message, "24.00 GiB of VRAM are too little"));
    CHECK(contains(message, "--vram 0"));
    const size_t at = message.find("it needs ");
    REQUIRE(at != std::string::npos);
    const uint64_t mebibytes = std::stoull(message.substr(at + 9));
    PlanMachine machine = with_gpu(128, 0);
    machine.gpu->memory_bytes = mebibytes << 20;
    CHECK(make_plan({}, model_of("pro"), machine).ok());
    machine.gpu->memory_bytes = (mebibytes - 2) << 20;
    CHECK_FALSE(make_plan({}, model_of("pro"), machine).ok());
    // A small model on a small GPU: an eighth is left to the driver.
    machine.gpu->memory_bytes = uint64_t{64} << 20;
    CHECK(make_plan({}, model_of(test::demo_checkpoint()), machine).ok());
    // And RAM that is too small for the experts that a layer needs is another.
    const auto ram = make_plan({}, model_of("flash"), with_gpu(0, 24));
    REQUIRE_FALSE(ram.ok());
    CHECK(contains(ram.error().message, "0 B of memory are too little"));
    CHECK(make_plan({}, model_of("flash"), with_gpu(1, 24)).ok());
}

TEST_CASE("a GPU is described by flags, assumed where they are silent, and left out by --vram 0") {
    PlanOptions options;
    options.ram_bytes = uint64_t{64} << 30;
    options.memory_rate = 50e9;
    options.mac_rate = 500e9;
    options.drive_rate = 7e9;
    options.vram_bytes = uint64_t{24} << 30;
    options.pcie_rate = 25e9;
    options.vram_rate = 1008e9;
    const auto machine = plan_machine(options, {});
    REQUIRE(machine.ok());
    REQUIRE(machine->gpu);
    CHECK(machine->gpu->memory_bytes == uint64_t{24} << 30);
    CHECK(machine->gpu->pcie.value == 25e9);
    CHECK(machine->gpu->pcie.source == "given");
    CHECK(machine->gpu->vram.value == 1008e9);
    CHECK(machine->gpu->macs.value == doctest::Approx(35 * 1008e9));
    CHECK(contains(machine->gpu->macs.source, "assumed"));
    options.vram_bytes = 0;
    CHECK_FALSE(plan_machine(options, {})->gpu);
    options.vram_bytes.reset();
    const auto here = plan_machine(options, {});
    if (list_gpus().ok()) {
        CHECK(here->gpu);
    } else {
        REQUIRE_FALSE(here.ok());
        CHECK(contains(here.error().message, "say --vram"));
    }
}

TEST_CASE("rates: a number and a unit of powers of 1000") {
    CHECK(*parse_rate("7GB/s") == 7e9);
    CHECK(*parse_rate("900MB/s") == 900e6);
    CHECK(*parse_rate("1.5G") == 1.5e9);
    CHECK(*parse_rate("500") == 500);
    for (const char* wrong : {"", "GB/s", "-1G", "7GiB/s", "1e3", "7 GB/s", "0", "1..5G", "inf"}) {
        CAPTURE(wrong);
        CHECK_FALSE(parse_rate(wrong).ok());
    }
}

}  // namespace millrace
