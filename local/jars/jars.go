// Package jars installs Java programs in the user's cache folder, without a system installation.
// Maven downloads a pinned set of them once from Maven Central, checks the checksums, and honours
// the user's own settings (mirrors, proxies).
//
// A set is a POM next to this file. A changed set is another set: its folder's name contains the
// hash of the POM, so that a folder is never partly updated.
package jars

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"eventshop.example/local/lockfile"
)

// Sets.
const (
	Kafka   = "kafka"   // Apache Kafka's broker and tools
	Connect = "connect" // Kafka Connect with Debezium
)

//go:embed *.xml
var poms embed.FS

// leastJava is the oldest version that Kafka's server supports since 4.0.
const leastJava = 17

// ErrMissing reports that something has to be installed first; the text names it.
var ErrMissing = errors.New("not installed")

// Java returns the java program to use: that of JAVA_HOME, otherwise that of the PATH. It returns
// [ErrMissing] if there is none or it is too old.
func Java(ctx context.Context) (path string, err error) {
	path = filepath.Join(os.Getenv("JAVA_HOME"), "bin", "java")
	if _, err := os.Stat(path); os.Getenv("JAVA_HOME") == "" || err != nil {
		if path, err = exec.LookPath("java"); err != nil {
			return "", fmt.Errorf("java: %w; install a Java runtime %d or newer, or set JAVA_HOME", ErrMissing, leastJava)
		}
	}
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s -version: %w: %s", path, err, out)
	}
	if v := majorOf(string(out)); v < leastJava {
		return "", fmt.Errorf("java: %w in a version of %d or newer (%s is %d); set JAVA_HOME to one", ErrMissing, leastJava, path, v)
	}
	return path, nil
}

// majorOf returns the version that `java -version` prints: `openjdk version "17.0.15" 2025-04-15`.
// The older form "1.8.0_392" counts as 1. It returns 0 if there is no version.
func majorOf(out string) int {
	m := regexp.MustCompile(`version "(\d+)`).FindStringSubmatch(out)
	if m == nil {
		return 0
	}
	v, _ := strconv.Atoi(m[1]) // only digits, by the pattern
	return v
}

// Fetch returns the folder with a set's jars, and downloads them the first time. Several processes
// may call it at once. It calls say before long steps. It returns [ErrMissing] if a download is
// needed and Maven is missing.
func Fetch(ctx context.Context, set string, say func(what string)) (dir string, err error) {
	pom, err := poms.ReadFile(set + ".xml")
	if err != nil {
		return "", fmt.Errorf("there is no set of jars %q", set)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", set, err)
	}
	parent := filepath.Join(cache, "eventshop", "jars")
	dir = filepath.Join(parent, fmt.Sprintf("%s-%x", set, sha256.Sum256(pom))[:len(set)+13])
	if complete(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("fetch %s: %w", set, err)
	}
	turn, err := lockfile.Open(dir+".lock", 0o644) // another process may be downloading the same set
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", set, err)
	}
	defer turn.Close()
	if complete(dir) { // another process has downloaded it meanwhile
		return dir, nil
	}
	say(fmt.Sprintf("downloading the jars of %s into %s (once, some 100 MB)", set, dir))
	if err := download(ctx, pom, dir); err != nil {
		return "", fmt.Errorf("fetch %s: %w", set, err)
	}
	return dir, nil
}

func complete(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

// download fills a temporary folder next to dir and renames it to dir when it is complete.
func download(ctx context.Context, pom []byte, dir string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("mvn: %w; install Apache Maven, it downloads them from Maven Central", ErrMissing)
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "part-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom, 0o644); err != nil {
		return err
	}
	out := filepath.Join(work, "jars")
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", work, "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+out)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, b)
	}
	found, err := fs.Glob(os.DirFS(out), "*.jar")
	if err != nil || len(found) == 0 {
		return fmt.Errorf("maven left no jars in %s: %w", out, err)
	}
	return os.Rename(out, dir)
}
