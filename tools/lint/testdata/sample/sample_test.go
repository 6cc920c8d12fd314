package sample

import "os"

func dropped(f *os.File) { f.Sync() }

var _ = dropped
