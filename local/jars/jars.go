// Package jars puts Java programs on this machine without an installation: a pinned set
// of them is downloaded once from Maven Central by Maven, which checks the checksums and
// honours the user's own settings (mirrors, proxies), into the user's cache folder.
//
// A set is a POM beside this file. A set that was changed is another set: its folder's
// name has the hash of the POM in it, so that a half-updated folder cannot exist.
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

// leastJava is what Kafka's server asks for since 4.0.
const leastJava = 17

// ErrMissing says that something has to be installed first; the text names it.
var ErrMissing = errors.New("not installed")

// Java returns the java program to use, that of JAVA_HOME before that of the PATH.
// Errors: ErrMissing when there is none or it is too old.
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

// majorOf reads what `java -version` prints: `openjdk version "17.0.15" 2025-04-15`, and
// "1.8.0_392" of the old kind, which counts as 1. 0 when there is no version.
func majorOf(out string) int {
	m := regexp.MustCompile(`version "(\d+)`).FindStringSubmatch(out)
	if m == nil {
		return 0
	}
	v, _ := strconv.Atoi(m[1]) // digits, as matched
	return v
}

// Fetch returns the folder with a set's jars, after having downloaded them if this is the
// first time; several processes may ask at once. say is told before something long begins.
// Errors: ErrMissing when a download is needed and there is no Maven.
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
	turn, err := lockfile.Open(dir+".lock", 0o644) // somebody else may be downloading the same
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", set, err)
	}
	defer turn.Close()
	if complete(dir) { // somebody else did it meanwhile
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

// download fills a folder beside dir and gives it dir's name when all is there.
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
