#pragma once

#include <string>

namespace bitcpm {

// Lines of standard input, read without stdio so that a signal can end the wait.
class LineReader {
 public:
  enum class Outcome { kLine, kEnd, kInterrupted };

  // The next line, without its line break, into `line`. A last line without one counts. Lines
  // beyond 1 MiB are cut.
  Outcome read(std::string& line);

 private:
  std::string buffer_;
  bool ended_ = false;
};

}  // namespace bitcpm
