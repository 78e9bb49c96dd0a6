// Package k8s builds the manifests here as kubectl would, reads them strictly as
// Kubernetes' own types, and holds them to each other. What they say about the worker
// itself is held to it in cmd/worker.
package k8s

import (
	"errors"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// manifests are all that an overlay makes, by kind.
type manifests struct {
	namespaces []*corev1.Namespace
	accounts   []*corev1.ServiceAccount
	settings   []*corev1.ConfigMap
	deployment *appsv1.Deployment
	job        *batchv1.Job
	budget     *policyv1.PodDisruptionBudget
	scaler     *autoscalingv2.HorizontalPodAutoscaler
	network    *networkingv1.NetworkPolicy
}

func build(t *testing.T, dir string) (m manifests) {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	m = manifests{
		deployment: &appsv1.Deployment{}, job: &batchv1.Job{}, budget: &policyv1.PodDisruptionBudget{},
		scaler: &autoscalingv2.HorizontalPodAutoscaler{}, network: &networkingv1.NetworkPolicy{},
	}
	for _, r := range made.Resources() {
		text, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var into any
		switch kind := r.GetApiVersion() + " " + r.GetKind(); kind {
		case "v1 Namespace":
			m.namespaces = append(m.namespaces, &corev1.Namespace{})
			into = m.namespaces[len(m.namespaces)-1]
		case "v1 ServiceAccount":
			m.accounts = append(m.accounts, &corev1.ServiceAccount{})
			into = m.accounts[len(m.accounts)-1]
		case "v1 ConfigMap":
			m.settings = append(m.settings, &corev1.ConfigMap{})
			into = m.settings[len(m.settings)-1]
		case "apps/v1 Deployment":
			into = m.deployment
		case "batch/v1 Job":
			into = m.job
		case "policy/v1 PodDisruptionBudget":
			into = m.budget
		case "autoscaling/v2 HorizontalPodAutoscaler":
			into = m.scaler
		case "networking.k8s.io/v1 NetworkPolicy":
			into = m.network
		default:
			t.Fatalf("%s %s: this test knows no such kind", kind, r.GetName())
		}
		// As the API server: a field of another case is none.
		unknown, err := json.UnmarshalStrict(text, into)
		if err = errors.Join(append(unknown, err)...); err != nil {
			t.Fatalf("%s %s: %v", r.GetKind(), r.GetName(), err)
		}
		if r.GetNamespace() == "" && dir != base && r.GetKind() != "Namespace" {
			t.Errorf("%s %s goes wherever the caller is", r.GetKind(), r.GetName())
		}
	}
	return m
}

const (
	base       = "base"
	production = "overlays/production"
)

// TestManifests_selectors: what is meant for the workers finds them, and them alone.
func TestManifests_selectors(t *testing.T) {
	for _, dir := range []string{base, production} {
		m := build(t, dir)
		worker, setup := labels.Set(m.deployment.Spec.Template.Labels), labels.Set(m.job.Spec.Template.Labels)
		selectors := map[string]*metav1.LabelSelector{"deployment": m.deployment.Spec.Selector, "budget": m.budget.Spec.Selector}
		for _, c := range m.deployment.Spec.Template.Spec.TopologySpreadConstraints {
			selectors["spread over "+c.TopologyKey] = c.LabelSelector
		}
		if len(selectors) < 3 {
			t.Errorf("%s: the workers are not spread", dir)
		}
		for what, s := range selectors {
			if by := selector(t, s); !by.Matches(worker) || by.Matches(setup) || by.Matches(labels.Set{"app.kubernetes.io/component": "worker"}) {
				t.Errorf("%s: %s selects %s, the workers are %v", dir, what, by, worker)
			}
		}
		if by := selector(t, &m.network.Spec.PodSelector); !by.Matches(worker) || !by.Matches(setup) {
			t.Errorf("%s: the network policy selects %s", dir, by)
		}
		if ref := m.scaler.Spec.ScaleTargetRef; ref.APIVersion != m.deployment.APIVersion || ref.Kind != m.deployment.Kind || ref.Name != m.deployment.Name {
			t.Errorf("%s: %+v is scaled, which is not there", dir, ref)
		}
	}
}

func selector(t *testing.T, s *metav1.LabelSelector) labels.Selector {
	t.Helper()
	by, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return by
}

// TestManifests_references: what a pod names is there, or is one of the secrets that
// base/kustomization.yaml says how to make.
func TestManifests_references(t *testing.T) {
	m := build(t, production)
	secrets := []string{"essworker-worker-login", "essworker-provisioner-login", "essworker-vendor-key"}
	for what, pod := range pods(m) {
		account := func(a *corev1.ServiceAccount) bool { return a.Name == pod.ServiceAccountName }
		if !slices.ContainsFunc(m.accounts, account) {
			t.Errorf("%s: no service account %q", what, pod.ServiceAccountName)
		}
		for _, v := range pod.Volumes {
			if v.Secret == nil || !slices.Contains(secrets, v.Secret.SecretName) || v.Secret.DefaultMode == nil || *v.Secret.DefaultMode&0o007 != 0 {
				t.Errorf("%s: volume %s is %+v", what, v.Name, v.VolumeSource)
			}
		}
		for _, c := range pod.Containers {
			for _, from := range c.EnvFrom {
				if !slices.ContainsFunc(m.settings, func(s *corev1.ConfigMap) bool { return s.Name == from.ConfigMapRef.Name }) {
					t.Errorf("%s: no settings %q", what, from.ConfigMapRef.Name)
				}
			}
			for _, mount := range c.VolumeMounts {
				if !mount.ReadOnly || mount.SubPath != "" || !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }) {
					t.Errorf("%s: mount %+v", what, mount)
				}
			}
			for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
				if p != nil && !slices.ContainsFunc(c.Ports, func(port corev1.ContainerPort) bool { return port.Name == p.HTTPGet.Port.StrVal }) {
					t.Errorf("%s: a probe asks port %s", what, p.HTTPGet.Port.String())
				}
			}
		}
	}
	ports := m.deployment.Spec.Template.Spec.Containers[0].Ports
	for _, rule := range m.network.Spec.Ingress {
		for _, p := range rule.Ports {
			if p.Port.StrVal != ports[0].Name || len(rule.From) == 0 {
				t.Errorf("ingress from %v to %s", rule.From, p.Port)
			}
		}
	}
}

func pods(m manifests) map[string]corev1.PodSpec {
	return map[string]corev1.PodSpec{"deployment": m.deployment.Spec.Template.Spec, "job": m.job.Spec.Template.Spec}
}

// TestManifests_confined: no pod may do, write or take more than it must.
func TestManifests_confined(t *testing.T) {
	m := build(t, production)
	for what, pod := range pods(m) {
		s := pod.SecurityContext
		switch {
		case s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0:
			t.Errorf("%s may run as root", what)
		case s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
			t.Errorf("%s has the seccomp profile %+v", what, s.SeccompProfile)
		case pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken:
			t.Errorf("%s gets a token of the API server's", what)
		case pod.HostNetwork || pod.HostPID || pod.HostIPC:
			t.Errorf("%s shares something of its node", what)
		}
		for _, c := range pod.Containers {
			s := c.SecurityContext
			switch {
			case s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem:
				t.Errorf("%s may write to its root", what)
			case s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation:
				t.Errorf("%s may gain privileges", what)
			case s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0:
				t.Errorf("%s has capabilities %+v", what, s.Capabilities)
			}
			for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
				if c.Resources.Requests.Name(name, "").IsZero() || c.Resources.Limits.Name(name, "").IsZero() {
					t.Errorf("%s has no request or no limit of %s", what, name)
				}
			}
		}
	}
	if m.namespaces[0].Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Error("the namespace takes pods that are less confined")
	}
	for _, rule := range m.network.Spec.Egress {
		if len(rule.To) == 0 || len(rule.Ports) == 0 {
			t.Errorf("egress to %v, ports %v: everywhere", rule.To, rule.Ports)
		}
	}
	if types := m.network.Spec.PolicyTypes; !slices.Contains(types, networkingv1.PolicyTypeEgress) || !slices.Contains(types, networkingv1.PolicyTypeIngress) {
		t.Errorf("the network policy is about %v", types)
	}
}

// TestManifests_available: an update, an emptied node and a lost one each leave a worker.
func TestManifests_available(t *testing.T) {
	m := build(t, production)
	if m.deployment.Spec.Replicas != nil {
		t.Error("each apply undoes what the autoscaler has done")
	}
	if n := m.scaler.Spec.MinReplicas; n == nil || *n < 2 || m.scaler.Spec.MaxReplicas < *n {
		t.Errorf("between %v and %d workers", n, m.scaler.Spec.MaxReplicas)
	}
	if r := m.deployment.Spec.Strategy.RollingUpdate; r == nil || r.MaxUnavailable.IntValue() != 0 {
		t.Errorf("an update takes workers away first: %+v", r)
	}
	if b := m.budget.Spec; b.MaxUnavailable == nil || b.MaxUnavailable.IntValue() != 1 || b.UnhealthyPodEvictionPolicy == nil || *b.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow {
		t.Errorf("disruption budget %+v", b)
	}
}
