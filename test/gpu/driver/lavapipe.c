/*
 * Lavapipe of Mesa 22.3 for ggml's tests: the driver itself, but buffers that are destroyed stay.
 *
 * ggml's pipelines share one descriptor set layout, of as many bindings as the largest has, and update
 * only those that a shader reads; the others keep what the set named before, which Vulkan allows even
 * when that buffer has been destroyed since. This lavapipe binds all bindings of a set, and so takes a
 * reference to freed memory. A destroyed buffer costs some hundred bytes here; its memory is freed.
 *
 * Interface: https://vulkan.lunarg.com/doc/view/latest/linux/LoaderDriverInterface.html
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*function)(void);
typedef function (*lookup)(void *owner, const char *name);

static lookup of_instance, of_physical_device, of_device;
static int (*negotiate)(uint32_t *version);

/* The driver's library is the one that PACELINE_LAVAPIPE names. */
__attribute__((constructor)) static void open_driver(void) {
  const char *path = getenv("PACELINE_LAVAPIPE");
  void *driver = dlopen(path ? path : "libvulkan_lvp.so", RTLD_NOW | RTLD_LOCAL);
  if (!driver) {
    fprintf(stderr, "lavapipe: %s\n", dlerror());
    return;
  }
  negotiate = (int (*)(uint32_t *))dlsym(driver, "vk_icdNegotiateLoaderICDInterfaceVersion");
  of_instance = (lookup)dlsym(driver, "vk_icdGetInstanceProcAddr");
  of_physical_device = (lookup)dlsym(driver, "vk_icdGetPhysicalDeviceProcAddr");
}

static void keep(void *device, uint64_t buffer, const void *allocator) {
  (void)device, (void)buffer, (void)allocator;
}

static function device_function(void *device, const char *name) {
  if (strcmp(name, "vkDestroyBuffer") == 0) return (function)keep;
  return of_device(device, name);
}

__attribute__((visibility("default"))) int vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
  const int initialization_failed = -3;
  return negotiate ? negotiate(version) : initialization_failed;
}

__attribute__((visibility("default"))) function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
  if (!of_instance) return NULL;
  function found = of_instance(instance, name);
  if (strcmp(name, "vkDestroyBuffer") == 0) return (function)keep;
  if (strcmp(name, "vkGetDeviceProcAddr") != 0 || !found) return found;
  of_device = (lookup)found;
  return (function)device_function;
}

__attribute__((visibility("default"))) function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
  return of_physical_device ? of_physical_device(instance, name) : NULL;
}
