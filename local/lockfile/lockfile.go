// Package lockfile excludes processes of one machine from each other.
package lockfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Open opens a file for this process only, and creates it if missing. It waits until no other
// process has the file open in this way. Closing the file, or the end of the process, lets the next
// process continue. Open does not follow a symbolic link.
func Open(path string, perm fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, perm)
	if err != nil {
		return nil, err
	}
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		f.Close() //nolint:errcheck // the first error counts
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
