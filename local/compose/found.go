package compose

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// Found is a project of which a Docker engine has containers.
type Found struct {
	Name    string
	Configs [][]string // the absolute compose files of each command that created a container of it
	Running int        // running containers, including jobs
}

// Projects returns the projects of which the Docker engine here has containers, by name. Without a
// docker command it returns none.
func Projects(ctx context.Context) ([]Found, error) {
	if _, err := exec.LookPath("docker"); err != nil {
		return nil, nil
	}
	out, err := run(ctx, nil, "ps", "--all", "--filter", "label="+projectLabel, "--format",
		`{{.Label "`+projectLabel+`"}}{{"\t"}}{{.Label "`+projectLabel+`.config_files"}}{{"\t"}}{{.State}}`)
	if err != nil {
		return nil, fmt.Errorf("look for compose projects: %w", err)
	}
	return found(string(out)), nil
}

// projectLabel is the label by which Compose finds the containers of a project.
const projectLabel = "com.docker.compose.project"

// found parses lines of project, files and state, separated by tabs.
func found(lines string) []Found {
	var all []Found
	for line := range strings.Lines(lines) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		files, state, ok := strings.Cut(rest, "\t")
		if !ok {
			continue
		}
		i := slices.IndexFunc(all, func(f Found) bool { return f.Name == name })
		if i < 0 {
			all = append(all, Found{Name: name})
			i = len(all) - 1
		}
		if state == "running" {
			all[i].Running++
		}
		config := strings.Split(files, ",")
		if !slices.ContainsFunc(all[i].Configs, func(c []string) bool { return slices.Equal(c, config) }) {
			all[i].Configs = append(all[i].Configs, config)
		}
	}
	slices.SortFunc(all, func(a, b Found) int { return strings.Compare(a.Name, b.Name) })
	return all
}
