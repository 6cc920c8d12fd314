package lockfile_test

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"eventshop.example/local/lockfile"
)

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	var inside atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			f, err := lockfile.Open(path, 0o600)
			if err != nil {
				t.Error(err)
				return
			}
			if n := inside.Add(1); n != 1 {
				t.Errorf("%d have it at once", n)
			}
			inside.Add(-1)
			f.Close()
		})
	}
	all.Wait()
}

func TestALinkIsNotFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "lock")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), path); err != nil {
		t.Fatal(err)
	}
	if _, err := lockfile.Open(path, 0o600); err == nil {
		t.Error("a link was followed")
	}
}
