package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"eventshop.example/local/stack"
)

// repository returns the folder with go.work. It is the one that --repo names. Otherwise it is the
// first one found above the working folder, above this program, in the state (the repository it was
// built from), or above the source from which this program was built, so that a program installed
// by `go install` finds it too.
func (e *env) repository() (string, error) {
	if e.repo != "" {
		dir, err := filepath.Abs(e.repo)
		if err != nil {
			return "", fmt.Errorf("--repo: %w", err)
		}
		if !isRepository(dir) {
			return "", fmt.Errorf("--repo: %s is not the repository: it has no go.work", dir)
		}
		return dir, nil
	}
	var from []string
	for _, place := range []func() (string, error){os.Getwd, os.Executable, e.recorded, source} {
		if path, err := place(); err == nil {
			from = append(from, path)
		}
	}
	for _, path := range from {
		for dir := path; ; dir = filepath.Dir(dir) {
			if isRepository(dir) {
				return dir, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", errors.New("the repository is neither above this folder nor above this program: cd into it, or name it with --repo DIR")
}

// isRepository reports whether a folder is this project's, and not another Go workspace in which
// the command runs.
func isRepository(dir string) bool {
	for _, part := range []string{"go.work", filepath.Join("cmd", "shop"), "schemas"} {
		if _, err := os.Stat(filepath.Join(dir, part)); err != nil {
			return false
		}
	}
	return true
}

// recorded returns the repository from which the state's programs were built.
func (e *env) recorded() (string, error) {
	if e.state == "" {
		return "", errors.New("no --state")
	}
	s, err := stack.Open(e.state, "", "", e.out)
	if err != nil {
		return "", err
	}
	if s.File().Root == "" {
		return "", errors.New("the state does not say")
	}
	return s.File().Root, nil
}

// source returns a source file of this program; with -trimpath its path is not known.
func source() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", errors.New("the program does not say")
	}
	return file, nil
}
