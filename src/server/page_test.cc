#include "server/page.h"

#include <gtest/gtest.h>

#include <string>

#include "server/test_site.h"

namespace bitcpm {
namespace {

// Protects: the page arrives whole, typed, and under a policy without any exception.
TEST(Page, IsServedUnderAStrictPolicy) {
  Site site(script_of("x"));
  for (const char* path : {"/", "/page/page.css", "/page/page.js", "/page/words.js",
                           "/page/stream.js", "/page/metrics.js", "/page/icon.svg"}) {
    TestClient client(site.port());
    client.send("GET " + std::string(path) + " HTTP/1.1\r\nHost: t\r\n\r\n");
    const TestResponse response = client.receive();
    EXPECT_EQ(response.status, 200) << path;
    ASSERT_NE(find_page_file(path), nullptr);
    EXPECT_EQ(response.body, find_page_file(path)->body) << path;
    EXPECT_EQ(response.headers.at("content-type"), find_page_file(path)->content_type);
    const std::string& policy = response.headers.at("content-security-policy");
    EXPECT_EQ(policy.rfind("default-src 'none'", 0), 0u) << policy;
    EXPECT_EQ(policy.find("unsafe"), std::string::npos) << policy;
    EXPECT_EQ(policy.find("http"), std::string::npos) << policy;
    EXPECT_EQ(response.headers.at("x-content-type-options"), "nosniff");
  }
}

// Protects: no file of the page names another host, or has markup that the policy would forbid.
TEST(Page, NeedsNobodyElse) {
  for (const char* path : {"/", "/page/page.css", "/page/page.js", "/page/words.js",
                           "/page/stream.js", "/page/metrics.js"}) {
    const std::string_view body = find_page_file(path)->body;
    for (const char* word : {"http:", "https:", "//cdn", "innerHTML", "insertAdjacentHTML",
                             "document.write", "eval(", " onclick=", " style="}) {
      EXPECT_EQ(body.find(word), std::string_view::npos) << path << ' ' << word;
    }
  }
}

}  // namespace
}  // namespace bitcpm
