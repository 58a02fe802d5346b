package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/brockdb/brock/systest/servers"
)

// deployed is the folder of what this file tests.
const deployed = "../../deploy"

// The shape of what deploy/kubernetes uses of Kubernetes' types, with their
// names there. What is not here is refused when it is read: a misspelled member,
// which Kubernetes would pass over, or one to add here.
type (
	object struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   meta   `yaml:"metadata"`
		Spec       spec   `yaml:"spec"`
	}
	meta struct {
		Name   string            `yaml:"name"`
		Labels map[string]string `yaml:"labels"`
	}
	// spec is that of a Service, a StatefulSet, a CronJob and a Job.
	spec struct {
		ClusterIP string    `yaml:"clusterIP"`
		Selector  yaml.Node `yaml:"selector"`
		Ports     []struct {
			Name       string `yaml:"name"`
			Port       int    `yaml:"port"`
			TargetPort string `yaml:"targetPort"`
		} `yaml:"ports"`
		ServiceName string   `yaml:"serviceName"`
		Replicas    int      `yaml:"replicas"`
		Template    template `yaml:"template"`
		Claims      []struct {
			Metadata meta `yaml:"metadata"`
			Spec     struct {
				AccessModes []string `yaml:"accessModes"`
				Resources   struct {
					Requests map[string]string `yaml:"requests"`
				} `yaml:"resources"`
			} `yaml:"spec"`
		} `yaml:"volumeClaimTemplates"`
		Schedule                string `yaml:"schedule"`
		ConcurrencyPolicy       string `yaml:"concurrencyPolicy"`
		StartingDeadlineSeconds int    `yaml:"startingDeadlineSeconds"`
		JobTemplate             struct {
			Spec struct {
				BackoffLimit int      `yaml:"backoffLimit"`
				Template     template `yaml:"template"`
			} `yaml:"spec"`
		} `yaml:"jobTemplate"`
		BackoffLimit *int `yaml:"backoffLimit"`
	}
	template struct {
		Metadata meta `yaml:"metadata"`
		Spec     pod  `yaml:"spec"`
	}
	pod struct {
		RestartPolicy   string `yaml:"restartPolicy"`
		SecurityContext struct {
			RunAsNonRoot   bool              `yaml:"runAsNonRoot"`
			RunAsUser      int               `yaml:"runAsUser"`
			RunAsGroup     int               `yaml:"runAsGroup"`
			FSGroup        int               `yaml:"fsGroup"`
			SeccompProfile map[string]string `yaml:"seccompProfile"`
		} `yaml:"securityContext"`
		Grace      int         `yaml:"terminationGracePeriodSeconds"`
		Containers []container `yaml:"containers"`
		Volumes    []struct {
			Name   string `yaml:"name"`
			Secret struct {
				SecretName string              `yaml:"secretName"`
				Items      []map[string]string `yaml:"items"`
			} `yaml:"secret"`
			EmptyDir struct{} `yaml:"emptyDir"`
			Claim    struct {
				ClaimName string `yaml:"claimName"`
			} `yaml:"persistentVolumeClaim"`
		} `yaml:"volumes"`
	}
	container struct {
		Name  string   `yaml:"name"`
		Image string   `yaml:"image"`
		Args  []string `yaml:"args"`
		Env   []struct {
			Name      string `yaml:"name"`
			ValueFrom struct {
				Secret struct {
					Name string `yaml:"name"`
					Key  string `yaml:"key"`
				} `yaml:"secretKeyRef"`
			} `yaml:"valueFrom"`
		} `yaml:"env"`
		Ports []struct {
			Name          string `yaml:"name"`
			ContainerPort int    `yaml:"containerPort"`
		} `yaml:"ports"`
		StartupProbe    *probe                       `yaml:"startupProbe"`
		ReadinessProbe  *probe                       `yaml:"readinessProbe"`
		LivenessProbe   *probe                       `yaml:"livenessProbe"`
		Resources       map[string]map[string]string `yaml:"resources"`
		SecurityContext struct {
			AllowPrivilegeEscalation *bool               `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool                `yaml:"readOnlyRootFilesystem"`
			Capabilities             map[string][]string `yaml:"capabilities"`
		} `yaml:"securityContext"`
		VolumeMounts []struct {
			Name      string `yaml:"name"`
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	probe struct {
		HTTPGet struct {
			Path string `yaml:"path"`
			Port string `yaml:"port"`
		} `yaml:"httpGet"`
		PeriodSeconds    int `yaml:"periodSeconds"`
		TimeoutSeconds   int `yaml:"timeoutSeconds"`
		FailureThreshold int `yaml:"failureThreshold"`
	}
)

// objects reads all manifests, by kind and name.
func objects(t *testing.T) map[string]object {
	t.Helper()
	files, err := filepath.Glob(deployed + "/kubernetes/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("the manifests are %v, %v", files, err)
	}
	found := map[string]object{}
	for _, file := range files {
		decoder := yaml.NewDecoder(strings.NewReader(read(t, file)))
		decoder.KnownFields(true)
		for {
			var o object
			err := decoder.Decode(&o)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			found[o.Kind+" "+o.Metadata.Name] = o
		}
	}
	return found
}

// pods returns the pod of each object that makes one.
func pods(t *testing.T) map[string]pod {
	t.Helper()
	all := map[string]pod{}
	for name, o := range objects(t) {
		version := map[string]string{"Service": "v1", "StatefulSet": "apps/v1", "CronJob": "batch/v1", "Job": "batch/v1"}[o.Kind]
		if o.APIVersion != version {
			t.Errorf("%s is of API version %q, not %q", name, o.APIVersion, version)
		}
		switch o.Kind {
		case "StatefulSet", "Job":
			all[name] = o.Spec.Template.Spec
		case "CronJob":
			all[name] = o.Spec.JobTemplate.Spec.Template.Spec
			if o.Spec.ConcurrencyPolicy != "Forbid" || len(strings.Fields(o.Spec.Schedule)) != 5 {
				t.Errorf("%s: %+v", name, o.Spec)
			}
		}
	}
	return all
}

// wantCommand checks that brock takes the arguments, and returns its command.
func wantCommand(t *testing.T, where string, args []string) *cobra.Command {
	t.Helper()
	cmd, rest, err := newRoot().Find(args)
	if err != nil || !cmd.HasParent() {
		t.Fatalf("%s: brock has no command for %q: %v", where, args, err)
	}
	if err := errors.Join(cmd.ParseFlags(rest), cmd.ValidateArgs(cmd.Flags().Args())); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	return cmd
}

func TestKubernetes(t *testing.T) {
	all := pods(t)
	if len(all) != 4 {
		t.Errorf("there are %d objects with pods", len(all))
	}
	for name, p := range all {
		context := p.SecurityContext
		if !context.RunAsNonRoot || context.RunAsUser == 0 || context.SeccompProfile["type"] != "RuntimeDefault" {
			t.Errorf("%s may run as root: %+v", name, context)
		}
		var volumes []string
		for _, v := range p.Volumes {
			volumes = append(volumes, v.Name)
		}
		for _, claim := range objects(t)[name].Spec.Claims {
			volumes = append(volumes, claim.Metadata.Name)
		}
		for _, c := range p.Containers {
			wantContainer(t, name, c, volumes)
		}
	}
	set := objects(t)["StatefulSet brock"].Spec
	service := objects(t)["Service brock"].Spec
	alpha := set.Template.Spec.Containers[0]
	address, _ := flagOf(t, alpha.Args, "http")
	if port := strconv.Itoa(alpha.Ports[0].ContainerPort); !strings.HasSuffix(address, ":"+port) || service.Ports[0].TargetPort != alpha.Ports[0].Name {
		t.Errorf("the alpha serves at %s, the container has port %s, the service %+v", address, port, service.Ports)
	}
	asked, _ := flagOf(t, all["CronJob brock-backup"].Containers[0].Args, "alpha")
	if want := "http://brock:" + strconv.Itoa(service.Ports[0].Port); asked != want || set.ServiceName != "brock" {
		t.Errorf("the backup asks %s, the service is %s", asked, want)
	}
	// What the backup writes is what the restore reads, into what the alpha serves.
	to, _ := flagOf(t, all["CronJob brock-backup"].Containers[0].Args, "destination")
	full, _ := flagOf(t, all["CronJob brock-backup-full"].Containers[0].Args, "destination")
	from, _ := flagOf(t, all["Job brock-restore"].Containers[0].Args, "location")
	target, _ := flagOf(t, all["Job brock-restore"].Containers[0].Args, "postings")
	if served, _ := flagOf(t, alpha.Args, "postings"); to != from || to != full || target+"/p1" != served {
		t.Errorf("backups go to %s and %s, and come from %s; %s/p1 is made and %s served", to, full, from, target, served)
	}
	if claim := all["Job brock-restore"].Volumes[0].Claim.ClaimName; claim != set.Claims[0].Metadata.Name+"-brock-0" {
		t.Errorf("the restore writes to volume %q", claim)
	}
}

func wantContainer(t *testing.T, where string, c container, volumes []string) {
	t.Helper()
	cmd := wantCommand(t, where, c.Args)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if _, required := f.Annotations[cobra.BashCompOneRequiredFlag]; required && !f.Changed {
			t.Errorf("%s: the flag --%s is missing", where, f.Name)
		}
	})
	for _, e := range c.Env {
		flag, ours := strings.CutPrefix(e.Name, "BROCK_")
		if ours && cmd.Flags().Lookup(strings.ToLower(flag)) == nil {
			t.Errorf("%s: brock %s reads no %s", where, cmd.Name(), e.Name)
		}
		if e.ValueFrom.Secret.Name != "brock" || e.ValueFrom.Secret.Key == "" {
			t.Errorf("%s: %s comes from %+v", where, e.Name, e.ValueFrom)
		}
	}
	for _, m := range c.VolumeMounts {
		if !slices.Contains(volumes, m.Name) {
			t.Errorf("%s: there is no volume %q", where, m.Name)
		}
	}
	s := c.SecurityContext
	if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities["drop"], []string{"ALL"}) {
		t.Errorf("%s: a container may do too much: %+v", where, s)
	}
}

func flagOf(t *testing.T, args []string, name string) (string, *pflag.Flag) {
	t.Helper()
	f := wantCommand(t, "flag "+name, args).Flags().Lookup(name)
	if f == nil {
		t.Fatalf("%q has no flag --%s", args, name)
	}
	return f.Value.String(), f
}

// The containers' commands, one after the other, with the paths and addresses
// of a test in place of those of a cluster.
func TestKubernetesCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	all := pods(t)
	write(t, filepath.Join(dir, "encryption_key"), strings.Repeat("k", 32))
	at := func(args []string, url string) []string {
		replaced := strings.NewReplacer("/data", dir+"/data", "/secrets", dir, "s3:///backups", dir+"/backups",
			"http://brock:8080", url, "0.0.0.0:8080", "127.0.0.1:0").Replace(strings.Join(args, "\n"))
		return strings.Split(replaced, "\n")
	}
	mkdir(t, filepath.Join(dir, "data"))
	token := call{env: []string{"BROCK_AUTH_TOKEN=geheim"}}
	args := at(all["StatefulSet brock"].Containers[0].Args, "")
	a := token.startAlpha(t, filepath.Join(dir, "data", "p1"), args[1:]...)
	a.load(t, "c", records(50, "x"))
	for _, p := range []*probe{all["StatefulSet brock"].Containers[0].StartupProbe, all["StatefulSet brock"].Containers[0].ReadinessProbe,
		all["StatefulSet brock"].Containers[0].LivenessProbe} {
		answer, err := http.Get(a.url + p.HTTPGet.Path)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("probe %+v: %v, %v", p, answer, err)
		}
		_ = answer.Body.Close() // not read
	}
	token.run(t, at(all["CronJob brock-backup"].Containers[0].Args, a.url)...).expect(t, exitGood)
	full := token.run(t, at(all["CronJob brock-backup-full"].Containers[0].Args, a.url)...)
	full.expect(t, exitGood)
	var task taskJSON
	if err := json.Unmarshal([]byte(full.stdout), &task); err != nil || task.BackupNum != 1 || task.Status != "Success" {
		t.Errorf("the full backup is %s", full.stdout)
	}
	a.stop(t)
	if err := os.RemoveAll(filepath.Join(dir, "data", "p1")); err != nil {
		t.Fatal(err)
	}
	call{}.run(t, at(all["Job brock-restore"].Containers[0].Args, "")...).expect(t, exitGood)
	if got := token.startAlpha(t, filepath.Join(dir, "data", "p1"), args[1:]...).dump(t, "c"); got != records(50, "x") {
		t.Error("what was restored differs from what was backed up")
	}
}

func TestDockerfile(t *testing.T) {
	text := strings.ReplaceAll(read(t, deployed+"/docker/Dockerfile"), "\\\n", "")
	var stage []string // of the last image
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		instruction, _, _ := strings.Cut(line, " ")
		if !slices.Contains(strings.Fields("FROM ARG WORKDIR COPY RUN USER VOLUME EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD"), instruction) {
			t.Errorf("there is no instruction %q", instruction)
		}
		if instruction == "FROM" {
			stage = nil
		}
		stage = append(stage, line)
	}
	last := strings.Join(stage, "\n")
	if stage[0] != "FROM scratch" || !strings.Contains(text, "RUN CGO_ENABLED=0 go build -trimpath") {
		t.Errorf("the last image begins %q", stage[0])
	}
	if user := regexp.MustCompile(`(?m)^USER (\d+):(\d+)$`).FindStringSubmatch(last); user == nil || user[1] == "0" || user[2] == "0" {
		t.Errorf("the image runs as %q", user)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../../go.mod"))[1]
	if !strings.Contains(text, "FROM golang:"+version+"-") {
		t.Errorf("the image is not built with Go %s", version)
	}
	list := func(instruction string) (args []string) {
		found := regexp.MustCompile(`(?m)^` + instruction + ` .*?(\[.*\])$`).FindStringSubmatch(last)
		if found == nil {
			t.Fatalf("there is no %s", instruction)
		}
		if err := json.Unmarshal([]byte(found[1]), &args); err != nil {
			t.Fatalf("%s: %v", instruction, err)
		}
		return args
	}
	if entry := list("ENTRYPOINT"); !slices.Equal(entry, []string{"/brock"}) {
		t.Errorf("the entry point is %q", entry)
	}
	wantCommand(t, "CMD", list("CMD"))
	wantCommand(t, "HEALTHCHECK", list("HEALTHCHECK .*CMD")[1:])
	address, _ := flagOf(t, list("CMD"), "http")
	if _, port, _ := strings.Cut(address, ":"); !strings.Contains(last, "\nEXPOSE "+port+"\n") {
		t.Errorf("it serves at %s, which is not exposed", address)
	}
}

// unit reads a unit file: the values of each key, by section.
func unit(t *testing.T, name string) map[string]map[string][]string {
	t.Helper()
	sections, section := map[string]map[string][]string{}, ""
	for line := range strings.Lines(read(t, deployed+"/systemd/"+name)) {
		line = strings.TrimSpace(line)
		key, value, assigned := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && line[len(line)-1] == ']':
			section = line[1 : len(line)-1]
			sections[section] = map[string][]string{}
		case assigned && section != "":
			sections[section][key] = append(sections[section][key], value)
		default:
			t.Errorf("%s: what is %q?", name, line)
		}
	}
	return sections
}

func TestSystemd(t *testing.T) {
	t.Parallel()
	service := unit(t, "brock.service")["Service"]
	if service["Type"][0] != "notify" || service["WatchdogSec"] == nil || service["User"][0] == "root" || service["NoNewPrivileges"][0] != "yes" {
		t.Errorf("the service is %v", service)
	}
	dir := t.TempDir()
	config := strings.ReplaceAll(read(t, deployed+"/systemd/brock.yaml"), "/var/lib/brock", dir)
	file := write(t, filepath.Join(dir, "brock.yaml"), config)
	commands := map[string][]string{}
	for _, name := range []string{"brock.service", "brock-backup.service"} {
		line := unit(t, name)["Service"]["ExecStart"][0]
		args, found := strings.CutPrefix(line, "/usr/local/bin/brock ")
		if !found {
			t.Fatalf("%s starts %s", name, line)
		}
		wantCommand(t, name, strings.Fields(args))
		commands[name] = strings.Fields(strings.ReplaceAll(args, "/etc/brock/brock.yaml", file))
	}
	// What the units run, with the same file.
	a := call{}.startAlpha(t, filepath.Join(dir, "p1"), commands["brock.service"][1:]...)
	a.load(t, "c", records(10, "x"))
	write(t, file, strings.ReplaceAll(config, "http://127.0.0.1:8080", a.url))
	if r := good(t, commands["brock-backup.service"]...); !strings.HasPrefix(r.stdout, "backup 1 of series") {
		t.Errorf("the backup says %q", r.stdout)
	}
	a.stop(t)
	if unit(t, "brock-backup.timer")["Timer"]["OnCalendar"] == nil {
		t.Error("the timer has no time")
	}
}

// systemd's own opinion.
func TestSystemdAnalyze(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		servers.Debian(t, "systemd")
		analyze = "systemd-analyze"
	}
	dir := t.TempDir()
	for _, name := range []string{"brock.service", "brock-backup.service", "brock-backup.timer"} {
		text := strings.ReplaceAll(read(t, deployed+"/systemd/"+name), "/usr/local/bin/brock ", binary+" ")
		text = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAllString(text, "") // which is not installed
		write(t, filepath.Join(dir, name), text)
	}
	cmd := exec.Command(analyze, "verify", "--man=no", filepath.Join(dir, "brock.service"), filepath.Join(dir, "brock-backup.timer"),
		filepath.Join(dir, "brock-backup.service"))
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dir) || strings.Contains(line, "brock") {
			t.Errorf("systemd-analyze: %s", line)
		}
	}
	if err != nil {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
