package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"essworker/internal/mask"
)

// A setting is a flag with a variable of its own: it may also stand in the
// --config file, and `worker config` lists it. A flag without one (--yes, --json)
// belongs to one command line and can be given nowhere else.

// sources gives kong the values that are not on the command line. The order is
// flag, variable, file, default; kong alone would let a file override a variable.
// Bind it and add it as a resolver when the parser is made.
type sources struct {
	file string            // path of the --config file; empty without one
	keys map[string]string // what it sets, by flag name
}

// Resolve checks the value of a setting's variable and leaves it to kong, or gives
// the file's. kong puts the flag's name before an error, origins where it came from.
func (s *sources) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if name := variable(flag); name != "" {
		return nil, usable(flag, os.Getenv(name))
	}
	value, ok := s.keys[flag.Name]
	if !ok || !isSetting(flag) {
		return nil, nil //nolint:nilnil // kong's way to say that there is no value here
	}
	return value, usable(flag, value)
}

// Validate refuses a key of the file that is no setting of any command.
func (s *sources) Validate(app *kong.Application) error {
	var known []string
	for _, flag := range settingsOf(app.Node) {
		if flag.Target.Type() != reflect.TypeFor[configFile]() { // a file that names another
			known = append(known, flag.Name)
		}
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(s.keys)) {
		if !slices.Contains(known, key) {
			errs = append(errs, fmt.Errorf("--config: %s: %q is no setting%s", s.file, key, suggest(key, known)))
		}
	}
	return errors.Join(errs...)
}

// read takes the settings of a YAML file: one flat map from flag names to values.
func (s *sources) read(path string) error {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	var nodes map[string]yaml.Node // nodes keep a value as written: 010 and 1e3 stay themselves
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&nodes); err != nil && !errors.Is(err, io.EOF) { // an empty file sets nothing
		return fmt.Errorf("%s: must be lines of NAME: VALUE: %w", path, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: must hold one YAML document", path)
	}
	keys := make(map[string]string, len(nodes))
	for key, node := range nodes {
		if node.Kind == yaml.AliasNode {
			node = *node.Alias
		}
		switch {
		case node.Kind != yaml.ScalarNode:
			return fmt.Errorf("%s:%d: %q must have one plain value", path, node.Line, key)
		case node.Tag == "!!null":
			return fmt.Errorf(`%s:%d: %q has no value; write "" for an empty one`, path, node.Line, key)
		}
		keys[key] = node.Value
	}
	s.file, s.keys = path, keys
	return nil
}

// configFile is the type of the --config flag. It is read before any other flag
// is resolved.
type configFile string

// BeforeResolve is kong's hook.
func (configFile) BeforeResolve(ctx *kong.Context, trace *kong.Path, s *sources) error {
	path, ok := ctx.FlagValue(trace.Flag).(configFile)
	if !ok || path == "" {
		return nil
	}
	if err := s.read(string(path)); err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	return nil
}

// parse is kong's Parse, with errors that say where a bad value came from. Each
// is wrong usage: exit code 2. The context comes with an error too, as far as it got.
func parse(k *kong.Kong, s *sources, args []string) (*kong.Context, error) {
	ctx, err := k.Parse(args)
	if err == nil {
		return ctx, nil
	}
	if pe, ok := errors.AsType[*kong.ParseError](err); ok && pe.Context != nil {
		ctx = pe.Context
		err = errors.New(s.origins(ctx, err.Error()))
	}
	return ctx, exit{code: exitUsage, err: err}
}

var namedFlag = regexp.MustCompile(`(?m)^(?:[^-\n][^\n]*?: )?--([a-z0-9-]+)[: ][^\n]*`)

// origins adds to each line about a flag the variable or file its value is from.
func (s *sources) origins(ctx *kong.Context, text string) string {
	flags := map[string]*kong.Flag{}
	for _, flag := range ctx.Flags() {
		flags[flag.Name] = flag
	}
	return namedFlag.ReplaceAllStringFunc(text, func(line string) string {
		flag := flags[namedFlag.FindStringSubmatch(line)[1]]
		if flag == nil {
			return line
		}
		switch from := s.origin(ctx, flag); from {
		case fromFlag, fromDefault:
			return line
		default:
			return line + " (from " + from + ")"
		}
	})
}

// setting is one line of `worker config`.
type setting struct {
	Name  string `json:"name"`  // of the flag, without dashes
	Value string `json:"value"` // secrets hidden
	From  string `json:"from"`  // "flag", the variable's name, the file's path or "default"
}

// Where a value comes from, if neither a variable nor a file.
const (
	fromFlag    = "flag"
	fromDefault = "default"
)

// settingsInForce lists the settings of the command that was parsed, in the order
// of its help.
func settingsInForce(ctx *kong.Context, s *sources) []setting {
	var list []setting
	for _, flag := range ctx.Flags() {
		if isSetting(flag) {
			list = append(list, setting{flag.Name, shown(flag), s.origin(ctx, flag)})
		}
	}
	return list
}

func (s *sources) origin(ctx *kong.Context, flag *kong.Flag) string {
	for _, p := range ctx.Path {
		if p.Flag == flag && !p.Resolved {
			return fromFlag
		}
	}
	if name := variable(flag); name != "" {
		return name
	}
	if _, ok := s.keys[flag.Name]; ok && isSetting(flag) {
		return s.file
	}
	return fromDefault
}

var userInfo = regexp.MustCompile(`://[^/,\s]*@`)

// shown is a setting's value as it may be printed: a mask.Secret hides itself, and
// of a URL everything before the host is hidden.
func shown(flag *kong.Flag) string {
	return userInfo.ReplaceAllString(fmt.Sprint(flag.Target.Interface()), "://"+mask.Hidden+"@")
}

// isSetting reports whether a flag has a variable.
func isSetting(flag *kong.Flag) bool { return len(flag.Envs) > 0 }

// settingsOf lists the settings of a command and of all below it.
func settingsOf(node *kong.Node) []*kong.Flag {
	flags := slices.DeleteFunc(slices.Clone(node.Flags), func(f *kong.Flag) bool { return !isSetting(f) })
	for _, child := range node.Children {
		flags = append(flags, settingsOf(child)...)
	}
	return flags
}

// variable is the first of a flag's variables that is set, even to nothing, as
// kong takes them; empty if none is.
func variable(flag *kong.Flag) string {
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return name
		}
	}
	return ""
}

// usable reports why a value cannot become the flag's. The error may repeat the
// value: types that hold secrets take any text.
func usable(flag *kong.Flag, value string) error {
	scan := kong.Scan().PushTyped(value, kong.FlagValueToken)
	scratch := reflect.New(flag.Target.Type()).Elem()
	return flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, scratch)
}

// strayVariables gives a warning for each variable that looks like a setting and
// is none: a typing error there would otherwise go unnoticed. Known is every
// variable of every command; environ is as os.Environ gives it.
func strayVariables(environ, known []string) []string {
	var warnings []string
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		ours := strings.HasPrefix(name, "WORKER_") || strings.HasPrefix(name, "ESS_") || strings.HasPrefix(name, "ESSBASIC_")
		if !ours || slices.Contains(known, name) || fromKubernetes(name, value) {
			continue
		}
		warnings = append(warnings, name+" is set and is no setting"+suggest(name, known))
	}
	slices.Sort(warnings)
	return warnings
}

// fromKubernetes reports whether a variable is one of those that Kubernetes sets
// in every container for a Service, here one that is called worker or ess.
func fromKubernetes(name, value string) bool {
	return strings.Contains(name, "_SERVICE_HOST") || strings.Contains(name, "_SERVICE_PORT") ||
		strings.Contains(name, "_PORT_") || strings.HasPrefix(value, "tcp://") || strings.HasPrefix(value, "udp://")
}

// suggest asks for the known word that word was probably meant to be.
func suggest(word string, known []string) string {
	best, least := "", 1+max(1, utf8.RuneCountInString(word)/4) // more is no typing error
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is the number of characters to change, add or drop (Levenshtein).
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range to {
			change := diagonal
			if x != y {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}
