# The CPU addon: build/Release/partialconv.node. Where a prebuilt addon for this platform ships with the package, nothing is built.
{
  "variables": {
    "prebuilt%": "<!(node scripts/gyp.cjs prebuilt)",
  },
  "targets": [
    {
      "target_name": "partialconv",
      "conditions": [
        ["prebuilt=='yes'", {"type": "none"}, {
          "sources": ["<!@(node scripts/gyp.cjs sources)"],
          "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
          "defines": ["<!@(node scripts/gyp.cjs defines)"],
          "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
          "cflags_cc": ["<!@(node scripts/gyp.cjs compile)"],
          "conditions": [
            ["OS=='linux'", {"ldflags": ["<!@(node scripts/gyp.cjs link)"]}],
            ["OS=='mac'", {"xcode_settings": {
              "OTHER_CPLUSPLUSFLAGS": ["<!@(node scripts/gyp.cjs compile)"],
              "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
              "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
              "GCC_ENABLE_CPP_RTTI": "YES",
              "MACOSX_DEPLOYMENT_TARGET": "11.0",
            }}],
          ],
        }],
      ],
    },
  ],
}
