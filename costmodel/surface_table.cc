#include "costmodel/surface_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "base/document.h"

namespace pluto {

namespace {

auto key_of(const FittedSurface& surface) {
  return std::tie(surface.op_class, surface.arithmetic, surface.generation, surface.device);
}

/// Whose measurements a class uses.
OpClass measured_class(OpClass op_class) {
  switch (op_class) {
    case OpClass::kAttention:
      return OpClass::kGemm;
    case OpClass::kCopy:
    case OpClass::kUpdate:
      return OpClass::kElementwise;
    default:
      return op_class;
  }
}

/// Streams were measured in f32 only; what counts for them is bytes.
bool moves_bytes_only(OpClass op_class) {
  return op_class == OpClass::kElementwise || op_class == OpClass::kNormalization ||
         op_class == OpClass::kSoftmax;
}

template <class T>
std::optional<T> parse_as(std::size_t count, const std::string& text) {
  for (std::size_t i = 0; i < count; ++i) {
    if (text == to_text(static_cast<T>(i))) return static_cast<T>(i);
  }
  return std::nullopt;
}

Result<FittedSurface> read_surface(const Value& value, const std::string& where) {
  PLUTO_ASSIGN(auto reader, ObjectReader::open(value, where));
  FittedSurface surface;
  PLUTO_ASSIGN(const auto op_class, reader.string("class"));
  const auto known_class = parse_as<OpClass>(kOpClassCount, op_class);
  if (!known_class) return reader.error("class", fmt::format("\"{}\" is no class", op_class));
  surface.op_class = *known_class;
  PLUTO_ASSIGN(const auto arithmetic, reader.string("arithmetic"));
  const auto known = parse_as<Arithmetic>(kArithmeticCount, arithmetic);
  if (!known) return reader.error("arithmetic", fmt::format("\"{}\" is none", arithmetic));
  surface.arithmetic = *known;
  PLUTO_ASSIGN(const auto generation, reader.optional_string("generation"));
  surface.generation = generation.value_or("");
  PLUTO_ASSIGN(const auto device, reader.optional_string("device"));
  surface.device = device.value_or("");
  PLUTO_ASSIGN(surface.spread, reader.number("spread"));
  if (!(surface.spread > 0)) return reader.error("spread", "must be positive");
  PLUTO_ASSIGN(surface.samples, reader.integer("samples"));
  for (std::size_t i = 0; i < kKnobCount; ++i) {
    const auto knob = static_cast<Knob>(i);
    const auto& range = range_of(knob);
    PLUTO_ASSIGN(const auto number, reader.optional_number(range.name));
    if (!number) continue;
    // a device may leave the range of its generation a little
    if (!(*number >= range.least / 4 && *number <= range.most * 4)) {
      return reader.error(range.name, fmt::format("{} is out of [{}, {}]", *number, range.least / 4,
                                                  range.most * 4));
    }
    surface.surface[knob] = *number;
    surface.knobs.push_back(knob);
  }
  PLUTO_TRY(reader.finish());
  return surface;
}

}  // namespace

SurfaceTable::SurfaceTable(std::vector<FittedSurface> surfaces,
                           std::map<std::string, std::string> alike)
    : surfaces_(std::move(surfaces)), alike_(std::move(alike)) {
  std::stable_sort(surfaces_.begin(), surfaces_.end(),
                   [](const auto& a, const auto& b) { return key_of(a) < key_of(b); });
}

const FittedSurface* SurfaceTable::exact(OpClass op_class, Arithmetic arithmetic,
                                         const std::string& generation,
                                         const std::string& device) const {
  const auto wanted = std::tie(op_class, arithmetic, generation, device);
  const auto found = std::lower_bound(
      surfaces_.begin(), surfaces_.end(), wanted,
      [](const FittedSurface& surface, const auto& key) { return key_of(surface) < key; });
  return found != surfaces_.end() && key_of(*found) == wanted ? &*found : nullptr;
}

std::optional<SurfaceTable::Answer> SurfaceTable::find(OpClass op_class, Arithmetic arithmetic,
                                                       const DeviceSpec& device) const {
  const OpClass measured = measured_class(op_class);
  const bool own = arithmetic != Arithmetic::kTf32;
  if (!own) arithmetic = Arithmetic::kHalf;
  if (moves_bytes_only(measured)) arithmetic = Arithmetic::kF32;
  const auto alike = alike_.find(device.generation);
  const std::string none;
  const std::string& generation = alike != alike_.end() ? alike->second : none;
  using Try = std::tuple<const std::string*, const std::string*, SurfaceOrigin>;
  const std::array<Try, 4> tries = {{{&device.generation, &device.name, SurfaceOrigin::kDevice},
                                     {&device.generation, &none, SurfaceOrigin::kGeneration},
                                     {&generation, &none, SurfaceOrigin::kAlike},
                                     {&none, &none, SurfaceOrigin::kAny}}};
  for (const auto& [of_generation, of_device, origin] : tries) {
    if (origin == SurfaceOrigin::kDevice && (!own || of_device->empty())) continue;
    if (origin != SurfaceOrigin::kAny && of_generation->empty()) continue;
    if (const auto* fitted = exact(measured, arithmetic, *of_generation, *of_device)) {
      return Answer{fitted, origin};
    }
  }
  return std::nullopt;
}

std::optional<SurfaceDevice> surface_device(const DeviceSpec& device, Arithmetic arithmetic) {
  const auto peak_of = [&](DType dtype) {
    const auto found = device.peak.find(dtype);
    return found != device.peak.end() ? found->second.value() : 0.0;
  };
  SurfaceDevice result;
  result.plain_peak = peak_of(DType::kF32);
  switch (arithmetic) {
    case Arithmetic::kF32:
      result.peak = result.plain_peak;
      break;
    case Arithmetic::kTf32:
      result.peak = device.tf32_peak ? device.tf32_peak->value() : 0;
      break;
    case Arithmetic::kHalf:
      result.peak = std::max(peak_of(DType::kF16), peak_of(DType::kBF16));
      break;
    case Arithmetic::kF8:
      result.peak = device.f8_peak ? device.f8_peak->value() : 0;
      break;
  }
  result.bandwidth = device.memory_bandwidth.value();
  result.multiprocessors = device.multiprocessors;
  result.cache = static_cast<double>(device.cache.value());
  if (!(result.peak > 0 && result.bandwidth > 0 && result.multiprocessors > 0)) return std::nullopt;
  return result;
}

Result<SurfaceTable> load_surfaces(const std::string& path) {
  PLUTO_ASSIGN(const Value document, read_document(path));
  PLUTO_ASSIGN(auto reader, ObjectReader::open(document, path));
  PLUTO_ASSIGN(const auto schema, reader.integer("schema"));
  if (schema != 1) return reader.error("schema", fmt::format("{} is not supported", schema));
  PLUTO_TRY(reader.string("about"));
  PLUTO_ASSIGN(const Value* alike_value, reader.object("alike"));
  PLUTO_ASSIGN(auto alike_reader, ObjectReader::open(*alike_value, reader.place("alike")));
  std::map<std::string, std::string> alike;
  for (const auto& [generation, unused] : alike_value->as_object()) {
    PLUTO_ASSIGN(alike[generation], alike_reader.string(generation));
  }
  PLUTO_ASSIGN(const Value::Array* list, reader.array("surfaces"));
  std::vector<FittedSurface> surfaces;
  for (std::size_t i = 0; i < list->size(); ++i) {
    PLUTO_ASSIGN(auto surface,
                 read_surface((*list)[i], fmt::format("{}[{}]", reader.place("surfaces"), i)));
    surfaces.push_back(std::move(surface));
  }
  PLUTO_TRY(reader.finish());
  SurfaceTable table(std::move(surfaces), std::move(alike));
  for (std::size_t i = 1; i < table.surfaces().size(); ++i) {
    const auto& surface = table.surfaces()[i];
    if (key_of(surface) == key_of(table.surfaces()[i - 1])) {
      return invalid_input(fmt::format("{}: two surfaces of {} {} on {} {}", path,
                                       to_text(surface.op_class), to_text(surface.arithmetic),
                                       surface.generation, surface.device));
    }
  }
  return table;
}

std::string to_text(const SurfaceTable& table, const std::string& about) {
  Value alike = Value::object();
  for (const auto& [generation, other] : table.alike()) alike.set(generation, other);
  std::string text =
      fmt::format("{{\n  \"schema\": 1,\n  \"about\": {},\n  \"alike\": {},\n  \"surfaces\": [",
                  to_json(Value(about), true), to_json(alike, true));
  const auto rounded = [](double number) { return fmt::format("{:.4g}", number); };
  const char* separator = "\n";
  for (const auto& surface : table.surfaces()) {
    text += fmt::format("{}    {{\"class\": \"{}\", \"arithmetic\": \"{}\"", separator,
                        to_text(surface.op_class), to_text(surface.arithmetic));
    if (!surface.generation.empty()) {
      text += fmt::format(", \"generation\": \"{}\"", surface.generation);
    }
    if (!surface.device.empty()) text += fmt::format(", \"device\": \"{}\"", surface.device);
    for (const Knob knob : surface.knobs) {
      text += fmt::format(", \"{}\": {}", range_of(knob).name, rounded(surface.surface[knob]));
    }
    text += fmt::format(", \"spread\": {}, \"samples\": {}}}", rounded(surface.spread),
                        surface.samples);
    separator = ",\n";
  }
  return text + "\n  ]\n}\n";
}

}  // namespace pluto
