package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"eventshop.example/pkg/schema"
)

const (
	releasedDir = "released"
	sumsFile    = "SHA256SUMS"
	extension   = ".avsc"
)

// versionFile returns the name of a version's file below the folder of the released schemas.
func versionFile(subject string, version int) string {
	return path.Join(subject, strconv.Itoa(version)+extension)
}

// versionOf is the inverse of versionFile.
func versionOf(file string) (subject string, version int, ok bool) {
	subject, name := path.Split(file)
	subject = strings.TrimSuffix(subject, "/")
	version, err := strconv.Atoi(strings.TrimSuffix(name, extension))
	return subject, version, err == nil && version > 0 && file == versionFile(subject, version) && !strings.Contains(subject, "/")
}

// content returns what the file of a version contains: the canonical form, indented.
func content(canonical string) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(canonical), "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// readReleased returns the released versions of each subject, oldest first. It reports files that
// are not as they were when they were released.
func (c *Contract) readReleased(dir string) (map[string][]schema.Version, error) {
	root := filepath.Join(dir, releasedDir)
	sums, err := c.readSums(root)
	if err != nil {
		return nil, err
	}
	all := map[string][]schema.Version{}
	seen := map[string]bool{}
	err = fs.WalkDir(os.DirFS(root), ".", func(file string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && file == "." {
			return nil // nothing is released yet
		}
		if err != nil || d.IsDir() || path.Ext(file) != extension {
			return err
		}
		seen[file] = true
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
		if err != nil {
			return err
		}
		v, ok := c.version(file, b, sums[file])
		if ok {
			subject, _, _ := versionOf(file)
			all[subject] = append(all[subject], v)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the released schemas: %w", err)
	}
	for file := range sums {
		if !seen[file] {
			c.fault(path.Join(releasedDir, file), "is released and missing; restore it")
		}
	}
	for subject, versions := range all {
		slices.SortFunc(versions, func(a, b schema.Version) int { return a.Version - b.Version })
		for i, v := range versions {
			if v.Version != i+1 {
				c.fault(path.Join(releasedDir, versionFile(subject, v.Version)), "version %d is missing before it", i+1)
				break
			}
		}
	}
	return all, nil
}

// version returns the version in a file. The file is usable although its digest differs, so that
// the comparison shows all that follows.
func (c *Contract) version(file string, b []byte, sum string) (v schema.Version, ok bool) {
	shown := path.Join(releasedDir, file)
	subject, number, ok := versionOf(file)
	if !ok {
		c.fault(shown, "is not named SUBJECT/VERSION%s", extension)
		return v, false
	}
	switch sum {
	case digest(b):
	case "":
		c.fault(shown, "is not in %s; delete it, and release the schema again if it is the current one", sumsFile)
	default:
		c.fault(shown, "was edited after its release; restore it")
	}
	name, err := schema.Subject(string(b))
	if err != nil {
		c.fault(shown, "%v", err)
		return v, false
	}
	if name != subject {
		c.fault(shown, "has the subject %s", name)
	}
	text, err := schema.Canonical(string(b))
	if err != nil {
		c.fault(shown, "%v", err)
		return v, false
	}
	return schema.Version{Version: number, Schema: text}, true
}

// readSums returns the digests by file.
func (c *Contract) readSums(root string) (map[string]string, error) {
	b, err := os.ReadFile(filepath.Join(root, sumsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the digests of the released schemas: %w", err)
	}
	sums := map[string]string{}
	number := 0
	for line := range strings.Lines(string(b)) {
		number++
		sum, file, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if _, _, named := versionOf(file); !ok || !named || len(sum) != 2*sha256.Size || sums[file] != "" {
			c.fault(path.Join(releasedDir, sumsFile), "line %d is not a digest and a file, each file once", number)
			continue
		}
		sums[file] = sum
	}
	return sums, nil
}

// writeSums replaces the digests in one step.
func writeSums(root string, sums map[string]string) (err error) {
	files := slices.SortedFunc(maps.Keys(sums), func(a, b string) int {
		as, av, _ := versionOf(a)
		bs, bv, _ := versionOf(b)
		if as != bs {
			return strings.Compare(as, bs)
		}
		return av - bv
	})
	f, err := os.CreateTemp(root, sumsFile+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	var b strings.Builder
	for _, file := range files {
		fmt.Fprintf(&b, "%s  %s\n", sums[file], file)
	}
	_, err = f.WriteString(b.String())
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(root, sumsFile))
}
