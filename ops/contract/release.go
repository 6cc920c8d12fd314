package contract

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/schema"
)

// Release makes the current schema of each subject a released version, unless it is one already or
// only its docs have changed. It returns the new files, relative to the folder. It writes nothing
// when the contract is breached: the error is then of kind errs.Conflict, and the contract has the
// reasons. It never overwrites a file. Released twice, it writes nothing the second time.
func Release(dir string, level func(subject string) schema.Level) (c *Contract, files []string, err error) {
	c, err = Read(dir, level)
	if err != nil {
		return nil, nil, err
	}
	if c.Breached() {
		return c, nil, errs.New(errs.Conflict, "nothing is released: the contract is breached")
	}
	next := c.Unreleased()
	if len(next) == 0 {
		return c, nil, nil
	}
	root := filepath.Join(dir, releasedDir)
	sums, err := c.readSums(root)
	if err != nil {
		return c, nil, err
	}
	if sums == nil {
		sums = map[string]string{}
	}
	for _, s := range next {
		b, err := content(s.text)
		if err != nil {
			return c, files, fmt.Errorf("release %s: %w", s.Name, err)
		}
		file := versionFile(s.Name, s.Version)
		if err := create(filepath.Join(root, filepath.FromSlash(file)), b); err != nil {
			return c, files, fmt.Errorf("release %s: %w", s.Name, err)
		}
		sums[file] = digest(b)
		files = append(files, path.Join(releasedDir, file))
	}
	// Last: a release that was cut off leaves files without a digest, which Read reports.
	if err := writeSums(root, sums); err != nil {
		return c, files, fmt.Errorf("write the digests of the released schemas: %w", err)
	}
	return c, files, nil
}

// create writes a file that does not exist yet.
func create(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}
