/** The editors' words. A language that lacks one shows it in English. */

/** @typedef {keyof typeof EN} Text */

const EN = {
  placementLabel: "Placement of the subject in the scene",
  placementHelp:
    "Drag to move, corners to size (Alt: about the center), handle to turn (Shift: steps of 15°). " +
    "Keys: arrows 1 px (Shift 10), + and − size, R turns (Shift+R back), F flips, 0 resets. " +
    "Ctrl+wheel sizes. Alt leaves the snapping lines alone.",
  pickerLabel: "Points and box on the image",
  pickerHelp:
    "Click: point on the subject. Shift-click or right-click: point on the background. Drag: box. " +
    "Drag a point to move it, click it to remove it.",
  snap: "Snap",
  snapHelp: "Draws the subject to the scene's center and to the ground.",
  flip: "Flip",
  reset: "Reset",
  keep: "Keep this place",
  keepHelp: "Writes the numbers that were drawn into x, y and size, and sets placement to manual.",
  clear: "Clear",
  clearHelp: "Removes all points and the box.",
  mask: "Mask",
  maskHelp: "Shows the mask of the last run.",
  noScene: "Connect a background.",
  noSubject: "Connect a subject.",
  noImage: "Connect an image.",
  runFirst: "Run once to see the image: it is made by other nodes.",
  runForMask: "Run once to see the subject's outline.",
  loading: "Loading …",
  lost: "The image {name} cannot be shown: it is gone, empty or no image.",
  emptyMask: "The mask is empty.",
  badNumber: "{name} is {value}; it must be a number from {low} to {high}. Reset mends it.",
  badText: "{name} cannot be read: {value}. Mend or clear it.",
  fromLink: "{names}: taken from a link, so not set here.",
  fromPlacements: "The place comes from the placements input.",
  random: "Random: this is where the last run put it.",
  randomFirst: "Random: run once to see where it goes.",
  outside: "The subject lies outside the scene.",
  asRun: "as run",
  warns: "{node} warns",
};

/** @type {Record<Text, string>} */
const FR = {
  placementLabel: "Placement du sujet dans la scène",
  placementHelp:
    "Glisser pour déplacer, les coins pour la taille (Alt : autour du centre), la poignée pour tourner (Maj " +
    ": par pas de 15°). Touches : flèches 1 px (Maj 10), + et − taille, R tourne (Maj+R en sens inverse), F " +
    "retourne, 0 réinitialise. Ctrl+molette : taille. Alt ignore les lignes d'aimantation.",
  pickerLabel: "Points et cadre sur l'image",
  pickerHelp:
    "Clic : point sur le sujet. Maj+clic ou clic droit : point sur l'arrière-plan. Glisser : cadre. Glisser " +
    "un point le déplace, un clic dessus l'enlève.",
  snap: "Aimanter",
  snapHelp: "Attire le sujet vers le centre de la scène et vers le sol.",
  flip: "Retourner",
  reset: "Réinitialiser",
  keep: "Garder cette place",
  keepHelp: "Écrit les nombres tirés dans x, y et size, et met placement sur manual.",
  clear: "Effacer",
  clearHelp: "Enlève tous les points et le cadre.",
  mask: "Masque",
  maskHelp: "Montre le masque du dernier passage.",
  noScene: "Reliez un arrière-plan (background).",
  noSubject: "Reliez un sujet (subject).",
  noImage: "Reliez une image.",
  runFirst: "Lancez une fois pour voir l'image : d'autres nœuds la font.",
  runForMask: "Lancez une fois pour voir le contour du sujet.",
  loading: "Chargement …",
  lost: "L'image {name} ne peut être montrée : elle a disparu, est vide ou n'est pas une image.",
  emptyMask: "Le masque est vide.",
  badNumber: "{name} vaut {value} ; il faut un nombre de {low} à {high}. Réinitialiser y remédie.",
  badText: "{name} est illisible : {value}. Corrigez ou effacez-le.",
  fromLink: "{names} : pris d'un lien, donc non réglé ici.",
  fromPlacements: "La place vient de l'entrée placements.",
  random: "Aléatoire : c'est là que le dernier passage l'a mis.",
  randomFirst: "Aléatoire : lancez une fois pour voir où il va.",
  outside: "Le sujet se trouve hors de la scène.",
  asRun: "tel que calculé",
  warns: "{node} avertit",
};

/** @type {Record<Text, string>} */
const ZH = {
  placementLabel: "主体在场景中的位置",
  placementHelp:
    "拖动以移动，拖角点以缩放（Alt：围绕中心），拖手柄以旋转（Shift：每步 15°）。按键：方向键 1 像素（Shif" +
    "t 10 像素），+ 和 − 缩放，R 旋转（Shift+R 反向），F 翻转，0 重置。Ctrl+滚轮缩放。按住 Alt 不吸附。",
  pickerLabel: "图片上的点和边框",
  pickerHelp: "单击：主体上的点。Shift+单击或右键单击：背景上的点。拖动：边框。拖动点以移动它，单击点以删除它。",
  snap: "吸附",
  snapHelp: "把主体吸附到场景中心和地面。",
  flip: "翻转",
  reset: "重置",
  keep: "保留此位置",
  keepHelp: "把抽到的数值写入 x、y 和 size，并把 placement 设为 manual。",
  clear: "清除",
  clearHelp: "删除所有点和边框。",
  mask: "遮罩",
  maskHelp: "显示上次运行的遮罩。",
  noScene: "请连接 background。",
  noSubject: "请连接 subject。",
  noImage: "请连接图片。",
  runFirst: "图片由其他节点生成：运行一次即可看到。",
  runForMask: "运行一次即可看到主体的轮廓。",
  loading: "加载中…",
  lost: "无法显示图片 {name}：它已不存在、为空或不是图片。",
  emptyMask: "遮罩为空。",
  badNumber: "{name} 为 {value}；必须是 {low} 到 {high} 之间的数字。重置即可修复。",
  badText: "无法读取 {name}：{value}。请更正或清除。",
  fromLink: "{names}：取自连线，因此不在此设置。",
  fromPlacements: "位置来自 placements 输入。",
  random: "随机：这是上次运行放置的位置。",
  randomFirst: "随机：运行一次即可看到位置。",
  outside: "主体在场景之外。",
  asRun: "运行结果",
  warns: "{node} 发出警告",
};

/** @type {Record<string, Partial<typeof EN>>} */
export const LANGUAGES = { en: EN, fr: FR, zh: ZH };

/**
 * A text in a language such as "de" or "zh-TW", with its {gaps} filled.
 * @param {string} language @param {Text} key @param {Record<string, unknown>} [gaps]
 */
export function text(language, key, gaps = {}) {
  const texts = LANGUAGES[language] ?? LANGUAGES[language.split("-")[0]] ?? EN;
  return (texts[key] ?? EN[key]).replace(/\{(\w+)\}/g, (gap, name) => (name in gaps ? String(gaps[name]) : gap));
}
