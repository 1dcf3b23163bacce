#include "tests/support/memory_vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "core/base/check.h"

namespace millrace::test {
namespace {

// SQLite gives the room for one of these, and casts its pointers to the base.
struct OpenFile : sqlite3_file {
    MemoryVfs* vfs;
    std::shared_ptr<MemoryVfs::File> file;
};

OpenFile& of(sqlite3_file* file) { return *static_cast<OpenFile*>(file); }
MemoryVfs& of(sqlite3_vfs* vfs) { return *static_cast<MemoryVfs*>(vfs->pAppData); }

void put_write(std::string& bytes, const MemoryVfs::Write& write) {
    if (write.truncate) {
        bytes.resize(write.offset);
        return;
    }
    const size_t end = write.offset + write.bytes.size();
    if (bytes.size() < end) bytes.resize(end);
    std::memcpy(bytes.data() + write.offset, write.bytes.data(), write.bytes.size());
}

void change(OpenFile& open, MemoryVfs::Write write) {
    put_write(open.file->now, write);
    open.file->since.push_back(std::move(write));
}

int close_file(sqlite3_file* file) {
    of(file).file.~shared_ptr();
    return SQLITE_OK;
}

int read_file(sqlite3_file* file, void* out, int count, sqlite3_int64 offset) {
    const std::string& bytes = of(file).file->now;
    const size_t from = std::min(static_cast<size_t>(offset), bytes.size());
    const size_t there = std::min(static_cast<size_t>(count), bytes.size() - from);
    std::memcpy(out, bytes.data() + from, there);
    if (there == static_cast<size_t>(count)) return SQLITE_OK;
    std::memset(static_cast<char*>(out) + there, 0, static_cast<size_t>(count) - there);
    return SQLITE_IOERR_SHORT_READ;
}

int write_bytes(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
    OpenFile& open = of(file);
    open.vfs->changing();
    if (!open.vfs->take_room()) return SQLITE_FULL;
    change(open, {static_cast<size_t>(offset),
                  std::string(static_cast<const char*>(bytes), static_cast<size_t>(count)), false});
    return SQLITE_OK;
}

int truncate(sqlite3_file* file, sqlite3_int64 size) {
    of(file).vfs->changing();
    change(of(file), {static_cast<size_t>(size), {}, true});
    return SQLITE_OK;
}

int sync(sqlite3_file* file, int) {
    of(file).vfs->changing();
    of(file).file->synced = of(file).file->now;
    of(file).file->since.clear();
    return SQLITE_OK;
}

int file_size(sqlite3_file* file, sqlite3_int64* size) {
    *size = static_cast<sqlite3_int64>(of(file).file->now.size());
    return SQLITE_OK;
}

int lock(sqlite3_file*, int) { return SQLITE_OK; }
int check_lock(sqlite3_file*, int* held) {
    *held = 0;
    return SQLITE_OK;
}
int control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int sector_size(sqlite3_file*) { return 4096; }
// As Linux's file system has it: bytes beside a write are not harmed by it.
int characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

constexpr sqlite3_io_methods kMethods{
    1,       close_file, read_file, write_bytes, truncate,        sync,    file_size, lock,
    lock,    check_lock, control,   sector_size, characteristics, nullptr, nullptr,   nullptr,
    nullptr, nullptr,    nullptr};

int open_file(sqlite3_vfs* vfs, const char* path, sqlite3_file* out, int flags, int* out_flags) {
    out->pMethods = nullptr;
    auto& files = of(vfs).files();
    std::shared_ptr<MemoryVfs::File> file;
    if (path == nullptr) {
        file = std::make_shared<MemoryVfs::File>();
    } else if (const auto found = files.find(path); found != files.end()) {
        file = found->second;
    } else if ((flags & SQLITE_OPEN_CREATE) != 0) {
        file = files[path] = std::make_shared<MemoryVfs::File>();
    } else {
        return SQLITE_CANTOPEN;
    }
    auto* open = static_cast<OpenFile*>(out);
    open->pMethods = &kMethods;
    open->vfs = &of(vfs);
    new (&open->file) std::shared_ptr<MemoryVfs::File>(std::move(file));
    if (out_flags != nullptr) *out_flags = flags;
    return SQLITE_OK;
}

int remove_file(sqlite3_vfs* vfs, const char* path, int) {
    of(vfs).changing();
    return of(vfs).files().erase(path) == 1 ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
}

int access(sqlite3_vfs* vfs, const char* path, int, int* there) {
    *there = of(vfs).files().contains(path) ? 1 : 0;
    return SQLITE_OK;
}

int full_path(sqlite3_vfs*, const char* path, int room, char* out) {
    if (std::strlen(path) + 1 > static_cast<size_t>(room)) return SQLITE_CANTOPEN;
    std::strcpy(out, path);
    return SQLITE_OK;
}

int randomness(sqlite3_vfs*, int count, char* out) {
    sqlite3_vfs* machine = sqlite3_vfs_find("unix");
    return machine->xRandomness(machine, count, out);
}
int nap(sqlite3_vfs*, int) { return 0; }
int now(sqlite3_vfs*, double* days) {
    *days = 2461000.5;
    return SQLITE_OK;
}
int last_error(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

MemoryVfs::MemoryVfs(std::string name, Image image)
    : name_(std::move(name)), vfs_(std::make_unique<sqlite3_vfs>()) {
    for (auto& [path, bytes] : image) {
        files_[path] = std::make_shared<File>(File{bytes, bytes, {}});
    }
    vfs_->iVersion = 1;
    vfs_->szOsFile = sizeof(OpenFile);
    vfs_->mxPathname = 512;
    vfs_->zName = name_.c_str();
    vfs_->pAppData = this;
    vfs_->xOpen = open_file;
    vfs_->xDelete = remove_file;
    vfs_->xAccess = access;
    vfs_->xFullPathname = full_path;
    vfs_->xRandomness = randomness;
    vfs_->xSleep = nap;
    vfs_->xCurrentTime = now;
    vfs_->xGetLastError = last_error;
    ENSURE(sqlite3_vfs_register(vfs_.get(), 0) == SQLITE_OK);
}

MemoryVfs::~MemoryVfs() { sqlite3_vfs_unregister(vfs_.get()); }

MemoryVfs::Image MemoryVfs::image() const {
    Image image;
    for (const auto& [path, file] : files_) image[path] = file->now;
    return image;
}

MemoryVfs::Image MemoryVfs::image_without_power(Random& random) const {
    Image image;
    for (const auto& [path, file] : files_) {
        std::string& bytes = image[path] = file->synced;
        for (const Write& write : file->since) {
            const uint64_t fate = random.below(4);
            if (fate == 0) continue;
            Write done = write;
            if (fate == 1) done.bytes.resize(random.below(done.bytes.size() + 1));
            put_write(bytes, done);
        }
    }
    return image;
}

bool MemoryVfs::take_room() {
    if (writes_left < 0) return true;
    if (writes_left == 0) return false;
    --writes_left;
    return true;
}

}  // namespace millrace::test
