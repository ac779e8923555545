"""The kinds of member that come with xmlkit, a file each."""
