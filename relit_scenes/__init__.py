"""RelitScenes: synthetic scenes for harmonization with a known right answer; see README.md."""
