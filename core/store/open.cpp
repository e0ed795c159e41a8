#include "core/base/sizes.h"
#include "core/store/file.h"
#include "core/store/layers.h"
#include "core/store/memory.h"

namespace iscsi::store {

bool known_store_type(const std::string& bstype) {
    return bstype == "rdwr" || bstype == "aio" || bstype == "null" || bstype == "ram";
}

Result<std::shared_ptr<Store>> open_store(const std::string& bstype, const std::string& path, const OpenOptions& options) {
    auto read_only = [&](std::shared_ptr<Store> s) -> std::shared_ptr<Store> {
        if (options.read_only) return std::make_shared<ReadOnly>(std::move(s));
        return s;
    };
    if (bstype == "rdwr") return File::open("rdwr", path, options, false);
    if (bstype == "aio") {
        if (options.sync || options.direct) return Error{0, "open backing store", path + ": aio takes no bsoflags"};
        return File::open("aio", path, options, true);
    }
    if (bstype == "null") return read_only(make_null(path));
    if (bstype == "ram") {
        const auto size = parse_size(path, SizeSyntax::strict);
        if (!size || !*size) return Error{0, "make ram disk", path + ": not a size such as 64M"};
        return read_only(TRY(make_ram(path, *size)));
    }
    return Error{0, "open backing store", path + ": unknown bstype " + bstype};
}

}  // namespace iscsi::store
