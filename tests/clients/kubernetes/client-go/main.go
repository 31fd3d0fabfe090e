// Runs client-go, as controllers use it, against the cluster of a kubeconfig, and says for each operation what came of it.
//
// Each line of standard output is a JSON object: client, version, operation, and error where it failed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	watchtools "k8s.io/client-go/tools/watch"
)

const (
	namespace = "client-go"
	patience  = 30 * time.Second
)

type clients struct {
	typed    *kubernetes.Clientset
	dynamic  dynamic.Interface
	metadata metadata.Interface
}

func main() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	// As controllers have it: protobuf for the built-in kinds.
	typed := rest.CopyConfig(config)
	typed.ContentType = "application/vnd.kubernetes.protobuf"
	typed.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	c := &clients{
		typed:    kubernetes.NewForConfigOrDie(typed),
		dynamic:  dynamic.NewForConfigOrDie(config),
		metadata: metadata.NewForConfigOrDie(config),
	}
	failed := false
	for _, one := range []struct {
		operation string
		run       func(context.Context, *clients) error
	}{
		{"create a namespace, and wait for its default account", prepare},
		{"discovery, aggregated and not", discover},
		{"leader election by a Lease, taken over by the next", leaderElection},
		{"shared informers: add, update, delete", informer},
		{"WatchList", watchList},
		{"server-side apply, typed: own, conflict, force, give up a field", serverSideApply},
		{"TokenRequest, reviewed by TokenReview", tokenRequest},
		{"metadata alone: list, get, watch", metadataOnly},
		{"dynamic: create, patch, list with limit and continue, delete a collection", dynamicClient},
		{"a Deployment in protobuf becomes available, is scaled and deleted in the foreground", deployment},
		{"conflict, already exists, not found, invalid", refusals},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		err := one.run(ctx, c)
		cancel()
		line := map[string]string{"client": "client-go", "version": version(), "operation": one.operation}
		if err != nil {
			line["error"] = err.Error()
			failed = true
		}
		text, _ := json.Marshal(line)
		fmt.Println(string(text))
	}
	_ = c.typed.CoreV1().Namespaces().Delete(context.Background(), namespace, metav1.DeleteOptions{})
	if failed {
		os.Exit(1)
	}
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "k8s.io/client-go" {
			return module.Version
		}
	}
	return "unknown"
}

func eventually(ctx context.Context, what string, done func() (bool, error)) error {
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	var last error
	for {
		ok, err := done()
		if ok && err == nil {
			return nil
		}
		last = err
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within the time; last: %v", what, last)
		case <-ticks.C:
		}
	}
}

func prepare(ctx context.Context, c *clients) error {
	wanted := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := c.typed.CoreV1().Namespaces().Create(ctx, wanted, metav1.CreateOptions{}); err != nil {
		return err
	}
	return eventually(ctx, "the default account", func() (bool, error) {
		_, err := c.typed.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, err
	})
}

func discover(_ context.Context, c *clients) error {
	groups, resources, err := c.typed.Discovery().ServerGroupsAndResources()
	if err != nil {
		return err
	}
	legacy := c.typed.Discovery().WithLegacy()
	_, old, err := legacy.ServerGroupsAndResources()
	if err != nil {
		return err
	}
	if len(groups) < 10 || len(resources) != len(old) {
		return fmt.Errorf("%d groups; %d group versions aggregated, %d one by one", len(groups), len(resources), len(old))
	}
	_, err = discovery.ServerPreferredResources(c.typed.Discovery())
	return err
}

// Two candidates: the first leads and gives up, the second takes over.
func leaderElection(ctx context.Context, c *clients) error {
	lead := func(ctx context.Context, name string, led chan<- string) {
		lock := &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Name: "leader", Namespace: namespace},
			Client:     c.typed.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		}
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 200 * time.Millisecond,
			ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { led <- name },
				OnStoppedLeading: func() {},
			},
		})
	}
	led := make(chan string, 2)
	first, giveUp := context.WithCancel(ctx)
	defer giveUp()
	go lead(first, "one", led)
	if err := leads(ctx, led, "one"); err != nil {
		return err
	}
	second, end := context.WithCancel(ctx)
	defer end()
	go lead(second, "two", led)
	// The first renews for a while before it gives up.
	time.Sleep(time.Second)
	lease, err := c.typed.CoordinationV1().Leases(namespace).Get(ctx, "leader", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if lease.Spec.RenewTime.Time.Nanosecond() == 0 || !lease.Spec.RenewTime.After(lease.Spec.AcquireTime.Time) {
		return fmt.Errorf("acquired %v, renewed %v", lease.Spec.AcquireTime, lease.Spec.RenewTime)
	}
	giveUp()
	if err := leads(ctx, led, "two"); err != nil {
		return err
	}
	lease, err = c.typed.CoordinationV1().Leases(namespace).Get(ctx, "leader", metav1.GetOptions{})
	if err == nil && *lease.Spec.LeaseTransitions < 1 {
		err = fmt.Errorf("%d transitions", *lease.Spec.LeaseTransitions)
	}
	return err
}

func leads(ctx context.Context, led <-chan string, wanted string) error {
	select {
	case name := <-led:
		if name != wanted {
			return fmt.Errorf("%s leads, not %s", name, wanted)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s does not lead", wanted)
	}
}

func informer(ctx context.Context, c *clients) error {
	factory := informers.NewSharedInformerFactoryWithOptions(c.typed, 0, informers.WithNamespace(namespace))
	seen := make(chan string, 16)
	configMaps := factory.Core().V1().ConfigMaps()
	name := func(what string, object any) {
		if held, ok := object.(*corev1.ConfigMap); ok && held.Name == "informed" {
			seen <- what + " " + held.Data["a"]
		}
	}
	_, err := configMaps.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { name("add", object) },
		UpdateFunc: func(_, object any) { name("update", object) },
		DeleteFunc: func(object any) { name("delete", object) },
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("%v was not synced", kind)
		}
	}
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "informed"}, Data: map[string]string{"a": "1"}}
	created, err := c.typed.CoreV1().ConfigMaps(namespace).Create(ctx, held, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	created.Data["a"] = "2"
	if _, err = c.typed.CoreV1().ConfigMaps(namespace).Update(ctx, created, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if err = c.typed.CoreV1().ConfigMaps(namespace).Delete(ctx, "informed", metav1.DeleteOptions{}); err != nil {
		return err
	}
	for _, wanted := range []string{"add 1", "update 2", "delete 2"} {
		select {
		case found := <-seen:
			if found != wanted {
				return fmt.Errorf("expected %q, found %q", wanted, found)
			}
		case <-ctx.Done():
			return fmt.Errorf("%q was not told", wanted)
		}
	}
	if _, err = configMaps.Lister().ConfigMaps(namespace).Get("kube-root-ca.crt"); err != nil {
		return err
	}
	return nil
}

func watchList(ctx context.Context, c *clients) error {
	yes := true
	watcher, err := c.typed.CoreV1().ConfigMaps(namespace).Watch(ctx, metav1.ListOptions{
		SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true,
	})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	found := false
	for {
		select {
		case event, open := <-watcher.ResultChan():
			if !open {
				return errors.New("the watch ended")
			}
			held, ok := event.Object.(*corev1.ConfigMap)
			switch {
			case !ok:
				return fmt.Errorf("%s: %v", event.Type, event.Object)
			case event.Type == watch.Added:
				found = found || held.Name == "kube-root-ca.crt"
			case event.Type == watch.Bookmark && held.Annotations[metav1.InitialEventsAnnotationKey] == "true":
				if !found {
					return errors.New("the list did not have what is there")
				}
				return nil
			}
		case <-ctx.Done():
			return errors.New("no bookmark said that the list is whole")
		}
	}
}

func serverSideApply(ctx context.Context, c *clients) error {
	api := c.typed.CoreV1().ConfigMaps(namespace)
	one := metav1.ApplyOptions{FieldManager: "one"}
	wanted := coreapply.ConfigMap("applied", namespace).WithData(map[string]string{"a": "1", "b": "1"})
	if _, err := api.Apply(ctx, wanted, one); err != nil {
		return err
	}
	other := coreapply.ConfigMap("applied", namespace).WithData(map[string]string{"a": "2"})
	_, err := api.Apply(ctx, other, metav1.ApplyOptions{FieldManager: "two"})
	if !apierrors.IsConflict(err) || err.Error() != `Apply failed with 1 conflict: conflict with "one": .data.a` {
		return fmt.Errorf("expected a conflict, found %v", err)
	}
	if _, err = api.Apply(ctx, other, metav1.ApplyOptions{FieldManager: "two", Force: true}); err != nil {
		return err
	}
	// The first gives up b, which nobody else has, and a, which the second has.
	held, err := api.Apply(ctx, coreapply.ConfigMap("applied", namespace), one)
	if err != nil {
		return err
	}
	if len(held.Data) != 1 || held.Data["a"] != "2" {
		return fmt.Errorf("data is %v", held.Data)
	}
	extracted, err := coreapply.ExtractConfigMap(held, "two")
	if err != nil || extracted.Data["a"] != "2" {
		return fmt.Errorf("extracted %v: %v", extracted, err)
	}
	return nil
}

func tokenRequest(ctx context.Context, c *clients) error {
	hour := int64(3600)
	request := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{ExpirationSeconds: &hour}}
	answer, err := c.typed.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, "default", request, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	review, err := c.typed.AuthenticationV1().TokenReviews().Create(ctx,
		&authv1.TokenReview{Spec: authv1.TokenReviewSpec{Token: answer.Status.Token}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if !review.Status.Authenticated || review.Status.User.Username != "system:serviceaccount:"+namespace+":default" {
		return fmt.Errorf("reviewed: %+v", review.Status)
	}
	return nil
}

func metadataOnly(ctx context.Context, c *clients) error {
	api := c.metadata.Resource(corev1.SchemeGroupVersion.WithResource("configmaps")).Namespace(namespace)
	list, err := api.List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) == 0 {
		return fmt.Errorf("%d found: %v", len(list.Items), err)
	}
	if _, err = api.Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); err != nil {
		return err
	}
	watcher, err := api.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "watched"}}
	if _, err = c.typed.CoreV1().ConfigMaps(namespace).Create(ctx, held, metav1.CreateOptions{}); err != nil {
		return err
	}
	select {
	case event := <-watcher.ResultChan():
		if found, ok := event.Object.(*metav1.PartialObjectMetadata); !ok || found.Name != "watched" {
			return fmt.Errorf("%s %v", event.Type, event.Object)
		}
		return nil
	case <-ctx.Done():
		return errors.New("nothing was told")
	}
}

func dynamicClient(ctx context.Context, c *clients) error {
	api := c.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace(namespace)
	for number := range 5 {
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret",
			"metadata":   map[string]any{"name": fmt.Sprintf("s%d", number), "labels": map[string]any{"of": "dynamic"}},
			"stringData": map[string]any{"k": "v"},
		}}
		if _, err := api.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	patch := []byte(`[{"op":"add","path":"/metadata/annotations","value":{"x":"y"}}]`)
	if _, err := api.Patch(ctx, "s0", types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil {
		return err
	}
	options := metav1.ListOptions{LabelSelector: "of=dynamic", Limit: 2}
	found := 0
	for {
		page, err := api.List(ctx, options)
		if err != nil {
			return err
		}
		found += len(page.Items)
		if options.Continue = page.GetContinue(); options.Continue == "" {
			break
		}
	}
	if found != 5 {
		return fmt.Errorf("%d found over pages", found)
	}
	return api.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "of=dynamic"})
}

func deployment(ctx context.Context, c *clients) error {
	labels := map[string]string{"app": "d"}
	container := coreapply.Container().WithName("c").WithImage("quickstart/pause")
	wanted := appsapply.Deployment("d", namespace).WithSpec(appsapply.DeploymentSpec().WithReplicas(1).
		WithSelector(metaapply.LabelSelector().WithMatchLabels(labels)).
		WithTemplate(coreapply.PodTemplateSpec().WithLabels(labels).
			WithSpec(coreapply.PodSpec().WithTerminationGracePeriodSeconds(1).WithContainers(container))))
	api := c.typed.AppsV1().Deployments(namespace)
	if _, err := api.Apply(ctx, wanted, metav1.ApplyOptions{FieldManager: "client-go"}); err != nil {
		return err
	}
	available := func(event watch.Event) (bool, error) {
		held, ok := event.Object.(*appsv1.Deployment)
		return ok && held.Status.AvailableReplicas == 1 && held.Status.ObservedGeneration == held.Generation, nil
	}
	lister := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return api.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return api.Watch(ctx, options)
		},
	}
	if _, err := watchtools.UntilWithSync(ctx, lister, &appsv1.Deployment{}, nil, available); err != nil {
		return fmt.Errorf("not available: %w", err)
	}
	scale, err := api.GetScale(ctx, "d", metav1.GetOptions{})
	if err != nil {
		return err
	}
	scale.Spec.Replicas = 2
	if _, err = api.UpdateScale(ctx, "d", scale, metav1.UpdateOptions{}); err != nil {
		return err
	}
	err = eventually(ctx, "two replicas", func() (bool, error) {
		held, err := api.Get(ctx, "d", metav1.GetOptions{})
		return err == nil && held.Status.ReadyReplicas == 2, err
	})
	if err != nil {
		return err
	}
	foreground := metav1.DeletePropagationForeground
	if err = api.Delete(ctx, "d", metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		return err
	}
	return eventually(ctx, "gone with its pods", func() (bool, error) {
		_, err := api.Get(ctx, "d", metav1.GetOptions{})
		pods, listed := c.typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=d"})
		return apierrors.IsNotFound(err) && listed == nil && len(pods.Items) == 0, listed
	})
}

func refusals(ctx context.Context, c *clients) error {
	api := c.typed.CoreV1().ConfigMaps(namespace)
	_, err := api.Get(ctx, "none", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("not found: %v", err)
	}
	held, err := api.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "r"}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = api.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "r"}}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("already exists: %v", err)
	}
	old := held.DeepCopy()
	held.Data = map[string]string{"a": "1"}
	if _, err = api.Update(ctx, held, metav1.UpdateOptions{}); err != nil {
		return err
	}
	old.Data = map[string]string{"a": "2"}
	if _, err = api.Update(ctx, old, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		return fmt.Errorf("conflict: %v", err)
	}
	_, err = api.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "Not a name"}}, metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) {
		return fmt.Errorf("invalid: %v", err)
	}
	return nil
}
