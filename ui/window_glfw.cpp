#include <GLFW/glfw3.h>
#include <backends/imgui_impl_opengl3.h>
#include <dlfcn.h>
#include <imgui.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <type_traits>
#include <vector>

#include "core/base/strings.h"
#include "core/base/utf8.h"
#include "ui/window.h"

namespace millrace {
namespace {

Key key_of(int key) {
    switch (key) {
        case GLFW_KEY_ENTER:
        case GLFW_KEY_KP_ENTER: return Key::kEnter;
        case GLFW_KEY_ESCAPE: return Key::kEscape;
        case GLFW_KEY_TAB: return Key::kTab;
        case GLFW_KEY_SPACE: return Key::kSpace;
        case GLFW_KEY_BACKSPACE: return Key::kBackspace;
        case GLFW_KEY_DELETE: return Key::kDelete;
        case GLFW_KEY_LEFT: return Key::kLeft;
        case GLFW_KEY_RIGHT: return Key::kRight;
        case GLFW_KEY_UP: return Key::kUp;
        case GLFW_KEY_DOWN: return Key::kDown;
        case GLFW_KEY_HOME: return Key::kHome;
        case GLFW_KEY_END: return Key::kEnd;
        case GLFW_KEY_PAGE_UP: return Key::kPageUp;
        case GLFW_KEY_PAGE_DOWN: return Key::kPageDown;
        default: break;
    }
    if (key >= GLFW_KEY_F1 && key <= GLFW_KEY_F12) {
        return static_cast<Key>(static_cast<int>(Key::kF1) + key - GLFW_KEY_F1);
    }
    return Key::kNone;
}

// A letter is named by what the keyboard's layout has there: Ctrl+Z is where Z is written.
char character_of(int key, int scancode) {
    if (const char* name = glfwGetKeyName(key, scancode);
        name != nullptr && name[0] > ' ' && name[0] < 0x7F && name[1] == 0) {
        return name[0] >= 'a' && name[0] <= 'z' ? static_cast<char>(name[0] - 'a' + 'A') : name[0];
    }
    return key > ' ' && key < 0x7F ? static_cast<char>(key) : '\0';
}

// What GLFW has under X11 only: the library made for Wayland lacks it, so it is looked for when the program runs.
struct X11Calls {
    const char* (*get_selection)() = nullptr;
    void (*set_selection)(const char*) = nullptr;

    X11Calls() {
        const auto find = [](auto& call, const char* name) {
            call = reinterpret_cast<std::remove_reference_t<decltype(call)>>(
                ::dlsym(RTLD_DEFAULT, name));
        };
        find(get_selection, "glfwGetX11SelectionString");
        find(set_selection, "glfwSetX11SelectionString");
    }
};

// Shows a part of what was drawn and keeps all of it: GLX_MESA_copy_sub_buffer. Only where processors draw: a graphics
// card is better served by whole frames, in step with the screen.
class PartSwap {
public:
    void look_for() {
        const auto* renderer = reinterpret_cast<const char*>(glGetString(GL_RENDERER));
        const std::string_view name = renderer == nullptr ? "" : renderer;
        const bool software =
            name.find("llvmpipe") != name.npos || name.find("softpipe") != name.npos;
        if (!software || glfwExtensionSupported("GLX_MESA_copy_sub_buffer") == 0) return;
        display_of_ = reinterpret_cast<DisplayOf>(::dlsym(RTLD_DEFAULT, "glfwGetX11Display"));
        window_of_ = reinterpret_cast<WindowOf>(::dlsym(RTLD_DEFAULT, "glfwGetGLXWindow"));
        copy_ = reinterpret_cast<Copy>(glfwGetProcAddress("glXCopySubBufferMESA"));
    }
    [[nodiscard]] bool possible() const {
        return display_of_ != nullptr && window_of_ != nullptr && copy_ != nullptr;
    }
    // Pixels from the lower left corner.
    void show(GLFWwindow* window, int left, int bottom, int width, int height) const {
        copy_(display_of_(), window_of_(window), left, bottom, width, height);
    }

private:
    using DisplayOf = void* (*)();
    using WindowOf = unsigned long (*)(GLFWwindow*);
    using Copy = void (*)(void*, unsigned long, int, int, int, int);
    DisplayOf display_of_ = nullptr;
    WindowOf window_of_ = nullptr;
    Copy copy_ = nullptr;
};

class GlfwWindow final : public Window {
public:
    GlfwWindow() = default;
    ~GlfwWindow() override {
        if (drawing_) {
            for (const Texture& texture : textures_) glDeleteTextures(1, &texture.name);
            ImGui_ImplOpenGL3_Shutdown();
        }
        if (ImGui::GetCurrentContext() != nullptr) ImGui::DestroyContext();
        if (window_ != nullptr) glfwDestroyWindow(window_);
        glfwTerminate();
    }

    [[nodiscard]] Status open(const WindowOptions& options) {
        if (glfwInit() == 0) return refused("no display could be opened");
        glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
        glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 0);
        glfwWindowHintString(GLFW_X11_CLASS_NAME, "millrace");
        glfwWindowHintString(GLFW_X11_INSTANCE_NAME, "millrace");
        window_ = glfwCreateWindow(options.width, options.height, options.title.c_str(), nullptr,
                                   nullptr);
        if (window_ == nullptr) return refused("the display has no OpenGL 3");
        glfwSetWindowSizeLimits(window_, 640, 480, GLFW_DONT_CARE, GLFW_DONT_CARE);
        glfwMakeContextCurrent(window_);
        glfwSwapInterval(1);
        listen();
        ImGui::CreateContext();
        ImGuiIO& io = ImGui::GetIO();
        io.IniFilename = nullptr;
        io.LogFilename = nullptr;
        io.Fonts->AddFontDefault();
        if (!ImGui_ImplOpenGL3_Init("#version 130")) {
            return Error{ErrorCode::kUnsupported,
                         "the display's OpenGL does not compile the shaders of the window"};
        }
        drawing_ = true;
        part_swap_.look_for();
        ImGui_ImplOpenGL3_NewFrame();
        return {};
    }

    const PersonInput& wait(std::chrono::milliseconds wait) override {
        input_.keys.clear();
        input_.text.clear();
        input_.dropped.clear();
        input_.wheel = 0;
        input_.clicks = 0;
        for (PointerButton* button : {&input_.left, &input_.right, &input_.middle}) {
            button->pressed = button->released = false;
        }
        if (wait.count() <= 0) {
            glfwPollEvents();
        } else {
            glfwWaitEventsTimeout(static_cast<double>(wait.count()) / 1000);
        }
        input_.now_s = glfwGetTime();
        input_.close_wanted = glfwWindowShouldClose(window_) != 0;
        input_.focused = glfwGetWindowAttrib(window_, GLFW_FOCUSED) != 0;
        return input_;
    }
    const PersonInput& input() const override { return input_; }
    void wake() override { glfwPostEmptyEvent(); }

    int width() const override { return size().first; }
    int height() const override { return size().second; }
    float monitor_scale() const override {
        float x = 1, y = 1;
        glfwGetWindowContentScale(window_, &x, &y);
        return std::clamp(x, 0.5F, 4.F);
    }
    bool minimised() const override {
        return glfwGetWindowAttrib(window_, GLFW_ICONIFIED) != 0 || width() == 0 || height() == 0;
    }

    void begin_frame() override {
        ImGuiIO& io = ImGui::GetIO();
        io.DisplaySize = {static_cast<float>(width()), static_cast<float>(height())};
        io.DeltaTime = std::max(1e-4F, static_cast<float>(input_.now_s - last_frame_s_));
        last_frame_s_ = input_.now_s;
        ImGui::NewFrame();
    }

    void show(GlyphAtlas& atlas, std::span<const Ground> grounds) override {
        ImGui::Render();
        upload(atlas);
        ImDrawData* data = ImGui::GetDrawData();
        for (int i = 0; i < data->CmdListsCount; ++i) {
            for (ImDrawCmd& command : data->CmdLists[i]->CmdBuffer) {
                const auto named = reinterpret_cast<uintptr_t>(command.TextureId);
                const uintptr_t page = named - page_texture(0);
                if (page >= textures_.size()) continue;
                command.TextureId =
                    reinterpret_cast<ImTextureID>(static_cast<uintptr_t>(textures_[page].name));
            }
        }
        glViewport(0, 0, width(), height());
        if (part_swap_.possible()) {
            if (atlas.generation() != generation_) damage_.forget();
            generation_ = atlas.generation();
            show_changes(*data, grounds);
        } else {
            const Box whole = {0, 0, static_cast<float>(width()), static_cast<float>(height())};
            for (const Ground& ground : grounds) clear(ground, whole);
            ImGui_ImplOpenGL3_RenderDrawData(data);
            glfwSwapBuffers(window_);
        }
    }

    std::string clipboard() override {
        const char* text = glfwGetClipboardString(window_);
        return text == nullptr ? std::string() : repair_utf8(text);
    }
    void set_clipboard(std::string_view text) override {
        glfwSetClipboardString(window_, std::string(text).c_str());
    }
    std::string selected() override {
        const char* text = x11_.get_selection != nullptr ? x11_.get_selection() : selected_.c_str();
        return text == nullptr ? std::string() : repair_utf8(text);
    }
    void set_selected(std::string_view text) override {
        selected_ = text;
        if (x11_.set_selection != nullptr) x11_.set_selection(selected_.c_str());
    }
    void set_title(std::string_view title) override {
        if (title == title_) return;
        title_ = title;
        glfwSetWindowTitle(window_, title_.c_str());
    }
    void keep_open() override { glfwSetWindowShouldClose(window_, 0); }

private:
    struct Texture {
        GLuint name = 0;
    };

    std::pair<int, int> size() const {
        int width = 0, height = 0;
        glfwGetFramebufferSize(window_, &width, &height);
        return {width, height};
    }

    void show_changes(ImDrawData& data, std::span<const Ground> grounds) {
        const std::span<const Box> boxes = damage_.next(data, grounds, width(), height());
        if (boxes.empty()) return;
        for (const Box& box : boxes) {
            for (const Ground& ground : grounds) clear(ground, box);
        }
        restrict_to(data, boxes);
        ImGui_ImplOpenGL3_RenderDrawData(&data);
        for (const Box& box : boxes) {
            part_swap_.show(window_, static_cast<int>(box.left),
                            height() - static_cast<int>(box.bottom), static_cast<int>(box.width()),
                            static_cast<int>(box.height()));
        }
    }

    void clear(const Ground& ground, const Box& within) const {
        const auto pixel = [](float at) { return static_cast<int>(std::lround(at)); };
        const auto channel = [](uint8_t value) { return static_cast<float>(value) / 255; };
        const int left = pixel(std::max(ground.box.left, within.left));
        const int right = pixel(std::min(ground.box.right, within.right));
        const int top = pixel(std::max(ground.box.top, within.top));
        const int bottom = pixel(std::min(ground.box.bottom, within.bottom));
        if (left >= right || top >= bottom) return;
        glEnable(GL_SCISSOR_TEST);
        glScissor(left, height() - bottom, right - left, bottom - top);
        glClearColor(channel(ground.colour.red), channel(ground.colour.green),
                     channel(ground.colour.blue), 1);
        glClear(GL_COLOR_BUFFER_BIT);
        glDisable(GL_SCISSOR_TEST);
    }

    static Status refused(std::string_view what) {
        const char* why = nullptr;
        glfwGetError(&why);
        return Error{ErrorCode::kUnsupported,
                     why == nullptr ? std::string(what) : cat(what, " (", why, ")")};
    }

    static GlfwWindow& self(GLFWwindow* window) {
        return *static_cast<GlfwWindow*>(glfwGetWindowUserPointer(window));
    }

    void listen() {
        glfwSetWindowUserPointer(window_, this);
        glfwSetCharCallback(window_, [](GLFWwindow* w, unsigned code) {
            append_utf8(self(w).input_.text, static_cast<char32_t>(code));
        });
        glfwSetKeyCallback(window_, [](GLFWwindow* w, int key, int scancode, int action, int mods) {
            self(w).pressed_key(key, scancode, action, mods);
        });
        glfwSetMouseButtonCallback(window_, [](GLFWwindow* w, int button, int action, int) {
            self(w).pressed_button(button, action == GLFW_PRESS);
        });
        glfwSetCursorPosCallback(window_, [](GLFWwindow* w, double x, double y) {
            // Positions are in the window's units, which on some systems are not pixels.
            int width = 1, height = 1;
            glfwGetWindowSize(w, &width, &height);
            const auto [pixels, rows] = self(w).size();
            self(w).input_.x = static_cast<float>(x * pixels / std::max(1, width));
            self(w).input_.y = static_cast<float>(y * rows / std::max(1, height));
        });
        glfwSetCursorEnterCallback(window_, [](GLFWwindow* w, int entered) {
            if (entered == 0) self(w).input_.x = self(w).input_.y = -1;
        });
        glfwSetScrollCallback(window_, [](GLFWwindow* w, double, double y) {
            self(w).input_.wheel += static_cast<float>(y);
        });
        glfwSetWindowRefreshCallback(window_, [](GLFWwindow* w) { self(w).damage_.forget(); });
        glfwSetDropCallback(window_, [](GLFWwindow* w, int count, const char** paths) {
            for (int i = 0; i < count; ++i) self(w).input_.dropped.emplace_back(paths[i]);
        });
    }

    void pressed_key(int key, int scancode, int action, int mods) {
        input_.shift = (mods & GLFW_MOD_SHIFT) != 0;
        input_.control = (mods & GLFW_MOD_CONTROL) != 0;
        if (key == GLFW_KEY_LEFT_SHIFT || key == GLFW_KEY_RIGHT_SHIFT) {
            input_.shift = action != GLFW_RELEASE;
        }
        if (key == GLFW_KEY_LEFT_CONTROL || key == GLFW_KEY_RIGHT_CONTROL) {
            input_.control = action != GLFW_RELEASE;
        }
        if (action == GLFW_RELEASE) return;
        Chord chord;
        chord.control = (mods & GLFW_MOD_CONTROL) != 0;
        chord.shift = (mods & GLFW_MOD_SHIFT) != 0;
        chord.alt = (mods & GLFW_MOD_ALT) != 0;
        chord.key = key_of(key);
        if (chord.key == Key::kNone) {
            chord.character = character_of(key, scancode);
            if (chord.character == 0) return;
            chord.key = Key::kCharacter;
        }
        input_.keys.push_back(chord);
    }

    void pressed_button(int button, bool down) {
        PointerButton* which = button == GLFW_MOUSE_BUTTON_LEFT     ? &input_.left
                               : button == GLFW_MOUSE_BUTTON_RIGHT  ? &input_.right
                               : button == GLFW_MOUSE_BUTTON_MIDDLE ? &input_.middle
                                                                    : nullptr;
        if (which == nullptr) return;
        which->down = down;
        (down ? which->pressed : which->released) = true;
        if (which != &input_.left || !down) return;
        constexpr double kAgainWithin = 0.4, kAgainNear = 5;
        const double now = glfwGetTime();
        const bool again =
            now - clicked_s_ < kAgainWithin &&
            std::abs(input_.x - clicked_x_) + std::abs(input_.y - clicked_y_) < kAgainNear;
        clicks_ = again ? clicks_ % 3 + 1 : 1;
        clicked_s_ = now;
        clicked_x_ = input_.x;
        clicked_y_ = input_.y;
        input_.clicks = clicks_;
    }

    void upload(GlyphAtlas& atlas) {
        const auto pages = atlas.pages();
        for (size_t i = 0; i < pages.size(); ++i) {
            GlyphAtlas::Page& page = pages[i];
            if (i == textures_.size()) {
                Texture made;
                glGenTextures(1, &made.name);
                textures_.push_back(made);
                glBindTexture(GL_TEXTURE_2D, made.name);
                glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR);
                glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
                glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, GlyphAtlas::kPageSize,
                             GlyphAtlas::kPageSize, 0, GL_RGBA, GL_UNSIGNED_BYTE,
                             page.pixels.data());
            } else if (page.dirty_bottom > page.dirty_top) {
                glBindTexture(GL_TEXTURE_2D, textures_[i].name);
                glTexSubImage2D(GL_TEXTURE_2D, 0, 0, page.dirty_top, GlyphAtlas::kPageSize,
                                page.dirty_bottom - page.dirty_top, GL_RGBA, GL_UNSIGNED_BYTE,
                                page.pixels.data() + static_cast<size_t>(page.dirty_top) *
                                                         GlyphAtlas::kPageSize * 4);
            }
            page.dirty_top = page.dirty_bottom = 0;
        }
    }

    GLFWwindow* window_ = nullptr;
    bool drawing_ = false;
    PersonInput input_;
    std::vector<Texture> textures_;
    std::string title_, selected_;
    X11Calls x11_;
    PartSwap part_swap_;
    Damage damage_;
    uint64_t generation_ = 0;  // of the atlas, in the last frame
    double last_frame_s_ = 0, clicked_s_ = -1;
    float clicked_x_ = 0, clicked_y_ = 0;
    int clicks_ = 0;
};

}  // namespace

Result<std::unique_ptr<Window>> open_window(const WindowOptions& options) {
    auto window = std::make_unique<GlfwWindow>();
    TRY(window->open(options));
    return std::unique_ptr<Window>(std::move(window));
}

}  // namespace millrace
