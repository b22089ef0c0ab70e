#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bitcpm {

// A queue of block ids in which any one can leave early: links in arrays, nothing allocated after
// construction. Each id is in it at most once.
class BlockList {
 public:
  explicit BlockList(std::int32_t num_blocks)
      : links_(static_cast<std::size_t>(num_blocks) + 1), end_(num_blocks) {
    link(end_) = {end_, end_};
  }

  std::int32_t size() const { return size_; }
  std::int32_t front() const { return link(end_).next; }  // requires: not empty

  void push_back(std::int32_t block) {
    const std::int32_t last = link(end_).previous;
    link(block) = {last, end_};
    link(last).next = block;
    link(end_).previous = block;
    ++size_;
  }

  void remove(std::int32_t block) {
    const Link gone = link(block);
    link(gone.previous).next = gone.next;
    link(gone.next).previous = gone.previous;
    --size_;
  }

 private:
  struct Link {
    std::int32_t previous;
    std::int32_t next;
  };
  const Link& link(std::int32_t block) const { return links_[static_cast<std::size_t>(block)]; }
  Link& link(std::int32_t block) { return links_[static_cast<std::size_t>(block)]; }

  std::vector<Link> links_;  // by block; the last one closes the ring
  std::int32_t end_;
  std::int32_t size_ = 0;
};

}  // namespace bitcpm
