"""What all folders use: media, words, scores, runs with their files, reports, and how a command line ends."""
