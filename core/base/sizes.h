// Sizes in bytes as people type and read them; K, M, G … are powers of 1024.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace iscsi {

std::optional<double> parse_decimal(std::string_view text);         // 5, 0.25; no sign, no exponent

// loose: 512, 64K, 10MB, 1.5GiB, 2P. strict: whole numbers, at most one letter of KMGT behind.
enum class SizeSyntax : uint8_t { loose, strict };
std::optional<uint64_t> parse_size(std::string_view text, SizeSyntax syntax = SizeSyntax::loose);

// full: "64.0 MiB". brief: "64.0M", "250G".
enum class SizeStyle : uint8_t { full, brief };
std::string format_size(uint64_t bytes, SizeStyle style = SizeStyle::full);
inline std::string brief_size(uint64_t bytes) { return format_size(bytes, SizeStyle::brief); }

}  // namespace iscsi
