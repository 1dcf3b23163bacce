#pragma once
// The parts of the window. Each draws itself into a box, reads the state and calls the desk.

#include "ui/app_state.h"
#include "ui/ui.h"
#include "ui/view_state.h"
#include "ui/workshop.h"

namespace millrace {

// What every view is given.
struct Frame {
    Ui& ui;
    Desk& desk;
    ViewState& view;
    Workshop* workshop = nullptr;  // null: models can only be opened
};

void rail_view(Frame& frame, const Box& box);
void chat_view(Frame& frame, const Box& box);
void conversation_view(Frame& frame, const Box& box);
void composer_view(Frame& frame, const Box& box, float& height);
void context_view(Frame& frame, const Box& box);  // in the composer
void welcome_view(Frame& frame, const Box& box);
void engine_view(Frame& frame, const Box& box);  // the screen
void engine_pane(Frame& frame, const Box& box);  // beside the chat
void models_view(Frame& frame, const Box& box);
void benchmark_view(Frame& frame, const Box& box);
void settings_view(Frame& frame, const Box& box);
void logs_view(Frame& frame, const Box& box);
void search_view(Frame& frame, const Box& box);  // in the rail's place

// Over the page, each in a layer of its own.
void menu_view(Frame& frame);
void palette_view(Frame& frame);
void dialog_view(Frame& frame);
void help_view(Frame& frame);
void branches_view(Frame& frame);
void notices_view(Frame& frame);

// Takes in what the workshop's jobs report, tells of what has ended, moves the benchmark on. Once a frame.
void tend_workshop(Frame& frame);

// "Ctrl+K" of a command, as set.
[[nodiscard]] std::string chord_text(const Frame& frame, std::string_view command);
// Does the command if it is enabled.
void run_command(Frame& frame, std::string_view id);

}  // namespace millrace
